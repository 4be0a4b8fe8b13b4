//! Closing in stages (RFC 9112, section 9.6).
//!
//! A socket that is closed with bytes unread is reset by the system, and the reset
//! may destroy the last answer before the caller has read it. So the sending side
//! is shut first, and what still comes is thrown away, within bounds.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::time::timeout;

/// The longest that what comes is thrown away.
pub(super) const TIME: Duration = Duration::from_secs(2);

/// The same while the process ends.
const HURRIED: Duration = Duration::from_millis(400);

/// The least that is thrown away, in bytes: a caller that writes its whole request
/// before it reads is to get through with some megabytes.
const BYTES: usize = 8 * 1024 * 1024;

/// What is thrown away of a request, in bytes.
pub(super) fn bytes(max_body: usize) -> usize {
    max_body.max(BYTES)
}

/// A socket that the HTTP library is through with.
#[derive(Debug)]
pub(super) struct Returned<S> {
    pub stream: S,
    /// What is to be said at the end.
    pub last_words: Option<[u8; 17]>,
}

/// Closes.
pub(super) async fn linger<S>(returned: Returned<S>, max_body: usize, hurried: bool)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Returned {
        mut stream,
        last_words,
    } = returned;
    let closing = async {
        if let Some(words) = last_words {
            stream.write_all(&words).await?;
        }
        stream.shutdown().await?;
        let most = bytes(max_body) as u64;
        copy(&mut (&mut stream).take(most), &mut sink()).await
    };
    let time = if hurried { HURRIED } else { TIME };
    // However it went, it is over.
    let _ = timeout(time, closing).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn what_comes_is_thrown_away_within_bounds() {
        let (ours, mut theirs) = duplex(1_000);
        let returned = Returned {
            stream: ours,
            last_words: Some([7; 17]),
        };
        let lingering = tokio::spawn(linger(returned, 1, false));
        let mut said = Vec::new();
        // The sending side is shut while the other is open.
        theirs.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, [7; 17]);
        theirs.write_all(&vec![0; BYTES]).await.unwrap();
        lingering.await.unwrap();
        assert!(theirs.write_all(&[0; 1_001]).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_caller_is_left_after_two_seconds() {
        for (hurried, time) in [(false, TIME), (true, HURRIED)] {
            let (ours, _theirs) = duplex(1);
            let returned = Returned {
                stream: ours,
                last_words: None,
            };
            let start = tokio::time::Instant::now();
            linger(returned, 1, hurried).await;
            assert_eq!(start.elapsed(), time);
        }
    }
}
