//! The store against a real server.

mod server;

use std::time::Duration;

use self::server::{RUNTIME, shared};
use super::core::Time;
use super::{Options, Redis};
use crate::later::settings::Settings;
use crate::later::suite_tests::{Under, every_store};

/// Options for a server, with keys of their own.
fn options(url: &str) -> Options {
    Options {
        url: url.to_owned(),
        prefix: format!("test-{:016x}", fastrand::u64(..)),
        lease: Duration::from_secs(40),
        timeout: Duration::from_secs(20),
        upstream_timeout: Duration::from_secs(30),
        ca: None,
        allow_volatile: true,
    }
}

/// One process, whose time is the test's.
struct InRedis;

impl Under for InRedis {
    type Store = Redis;

    async fn make(settings: &Settings) -> Redis {
        let (options, settings) = (options(&shared().url), *settings);
        // Elsewhere than the test, whose clock stands still, and which may block.
        let connecting = RUNTIME.spawn(async move {
            let connecting = Redis::connect_by(Time::CALLERS, options, &settings);
            connecting.await.unwrap()
        });
        connecting.await.unwrap()
    }

    async fn pass(time: Duration) {
        tokio::time::advance(time).await;
    }
}

every_store!(InRedis);
