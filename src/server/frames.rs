//! HTTP/2 as far as a bound needs it: where one frame ends and the next begins
//! (RFC 9113, section 4.1), and how many SETTINGS come. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

/// Too much of what is legal (RFC 9113, section 7).
const ENHANCE_YOUR_CALM: u32 = 11;

/// The most SETTINGS frames of one second: each may cost a visit to every stream.
const MAX_SETTINGS: u32 = 20;

const HEAD: usize = 9;

/// Follows frames through bytes that come in pieces of any length.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    filled: usize,
    /// What is still to come of the present frame, once its head is complete.
    rest: usize,
}

/// What a piece of a connection brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub settings: u32,
    /// The highest stream that a request came on; 0 for none.
    pub stream: u32,
}

impl Frames {
    /// Takes the next bytes; what heads of frames ended in them.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Found {
        let mut found = Found::default();
        while !bytes.is_empty() {
            let skipped = self.rest.min(bytes.len());
            self.rest -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEAD - self.filled).min(bytes.len());
            self.head[self.filled..][..taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEAD {
                self.filled = 0;
                let [a, b, c, kind, _, stream @ ..] = self.head;
                self.rest = u32::from_be_bytes([0, a, b, c]) as usize;
                match kind {
                    SETTINGS => found.settings += 1,
                    HEADERS => {
                        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
                        found.stream = found.stream.max(stream);
                    }
                    _ => {}
                }
            }
        }
        found
    }

    /// Whether a frame of somebody else's may come here.
    pub fn is_between(&self) -> bool {
        self.filled == 0 && self.rest == 0
    }
}

/// How many SETTINGS came of late.
#[derive(Debug, Default)]
pub(super) struct SettingsRate {
    second: Option<Instant>,
    seen: u32,
}

impl SettingsRate {
    /// Counts so many more; whether they are within bounds.
    pub fn allows(&mut self, more: u32, now: Instant) -> bool {
        let is_old = |second| now >= second + Duration::from_secs(1);
        if self.second.is_none_or(is_old) {
            self.second = Some(now);
            self.seen = 0;
        }
        self.seen = self.seen.saturating_add(more);
        self.seen <= MAX_SETTINGS
    }
}

/// The frame that ends a connection of too many SETTINGS, whose last request came
/// on `stream`.
pub(super) fn calm_down(stream: u32) -> [u8; HEAD + 8] {
    let mut frame = [0; HEAD + 8];
    frame[2] = 8;
    frame[3] = GOAWAY;
    frame[HEAD..][..4].copy_from_slice(&stream.to_be_bytes());
    frame[HEAD + 4..].copy_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, stream: u32, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        let head = [&size[1..], &[kind, 0], &stream.to_be_bytes()].concat();
        [head, vec![SETTINGS; length]].concat()
    }

    proptest! {
        #[test]
        fn frames_are_found_however_they_are_cut(
            frames in prop::collection::vec((0_u8..10, 1_u32..99, 0_usize..40), 0..20),
            cut in 1_usize..30,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|&(kind, id, len)| frame(kind, id, len)).collect();
            let (mut scan, mut found) = (Frames::default(), Found::default());
            for piece in bytes.chunks(cut) {
                let more = scan.feed(piece);
                found.settings += more.settings;
                found.stream = found.stream.max(more.stream);
            }
            let settings = frames.iter().filter(|(kind, ..)| *kind == SETTINGS).count();
            let opened = frames.iter().filter(|(kind, ..)| *kind == HEADERS).map(|it| it.1);
            prop_assert_eq!(found.settings as usize, settings);
            prop_assert_eq!(found.stream, opened.max().unwrap_or(0));
            prop_assert!(scan.is_between());
        }
    }

    #[test]
    fn a_frame_is_between_others_or_within() {
        let mut scan = Frames::default();
        let bytes = frame(0, 1, 3);
        for byte in &bytes[..bytes.len() - 1] {
            scan.feed(std::slice::from_ref(byte));
            assert!(!scan.is_between());
        }
        scan.feed(&bytes[bytes.len() - 1..]);
        assert!(scan.is_between());
    }

    #[test]
    fn twenty_settings_a_second() {
        let mut rate = SettingsRate::default();
        let now = Instant::now();
        assert!(rate.allows(1, now));
        assert!(rate.allows(19, now));
        assert!(!rate.allows(1, now + Duration::from_millis(999)));
        assert!(rate.allows(20, now + Duration::from_secs(1)));
        assert!(!SettingsRate::default().allows(21, now));
    }

    #[test]
    fn the_last_word_is_a_frame() {
        let mut scan = Frames::default();
        scan.feed(&calm_down(7));
        assert!(scan.is_between());
        assert_eq!(calm_down(7), *b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x07\0\0\0\x0b");
    }
}
