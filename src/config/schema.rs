//! The table of settings: every section and key with its meaning, type, default, range, flag and
//! environment variable. A new setting is a new row, and a new section a new block; the rest
//! (structs, layers, flags, printing) follows from here, see [`super::table`].

use std::time::Duration;

use http::HeaderMap;
use url::Url;

use super::address::{Address, OptionalAddress};
use super::count_or::{CONNECTIONS, MaxConnections, MaxInFlight, SLOTS, THREADS, Threads};
use super::duration::{DAY, HOUR, MILLISECOND, ZERO, time};
use super::fraction::fraction;
use super::headers::Headers;
use super::hosts::HostNames;
use super::kind::{Kind, Raw, Wrong};
use super::level::Level;
use super::mistake::Origin;
use super::number::{Switch, count};
use super::size::{GIB, size};
use super::statuses::Statuses;
use super::table::{KeyInfo, Slot, settings};
use super::target::Target;
use super::word::{LOG_FORMAT, LogFormat, ON_FULL, OnFull, RESULTS, Results, WAIT, Wait};

settings! {
    /// `[server]`: the listener that takes jobs.
    server: Server {
        /// Where jobs come in; port 0 is any free one
        listen: String = "127.0.0.1:8080", in Address,
            flag "--listen" "HOST:PORT", env "MICROBATCH_SERVER__LISTEN";

        /// Threads that serve callers, or auto
        ///
        /// `"auto"` is one for each core that the process may use, a container's CPU quota
        /// included.
        threads: Threads = "auto", in THREADS,
            flag "--threads" "N", env "MICROBATCH_SERVER__THREADS";

        /// Largest body of one job
        ///
        /// In bytes; with the two brackets of an array it must fit `batch.max_bytes`.
        max_body: usize = "256KiB", in size(1..=GIB),
            flag "--max-body" "SIZE", env "MICROBATCH_SERVER__MAX_BODY";

        /// Levels that a job may nest, itself the first
        ///
        /// For an upstream whose parser bears less than the proxy's.
        max_depth: usize = "128", in count(1..=128),
            env "MICROBATCH_SERVER__MAX_DEPTH";

        /// Most memory for bodies being received and answers not taken
        ///
        /// In bytes, over all callers. Over it bodies are left unread, and refused after
        /// `read_timeout`. One body and one answer must fit.
        max_buffered: usize = "256MiB", in size(1..=64 * GIB),
            env "MICROBATCH_SERVER__MAX_BUFFERED";

        /// Longest a job may stay, arrival to answer
        request_timeout: Duration = "30s", in time(MILLISECOND..=DAY),
            flag "--request-timeout" "DURATION", env "MICROBATCH_SERVER__REQUEST_TIMEOUT";

        /// Longest a caller may take to send a head, and then a body
        ///
        /// The time for a head starts with the connection, later with the head's first byte.
        read_timeout: Duration = "10s", in time(MILLISECOND..=DAY),
            env "MICROBATCH_SERVER__READ_TIMEOUT";

        /// Longest a connection may be idle between two requests
        ///
        /// On HTTP/2: without streams.
        idle_timeout: Duration = "1m 15s", in time(MILLISECOND..=DAY),
            env "MICROBATCH_SERVER__IDLE_TIMEOUT";

        /// Longest a caller may take nothing of an answer
        ///
        /// Then its connection ends, on HTTP/2 the answer's stream.
        write_timeout: Duration = "30s", in time(MILLISECOND..=DAY),
            env "MICROBATCH_SERVER__WRITE_TIMEOUT";

        /// Most connections of callers, or auto
        ///
        /// One more waits, and the one that has been idle for longest makes room. `"auto"` is what
        /// the process may have of open files (its soft limit is raised to the hard one), less 64
        /// and two for each slot.
        max_connections: MaxConnections = "auto", in CONNECTIONS,
            env "MICROBATCH_SERVER__MAX_CONNECTIONS";

        /// Answer with a Server-Timing header
        timing: bool = "true", in Switch,
            env "MICROBATCH_SERVER__TIMING";

        /// Host names to answer to on loopback, besides localhost
        ///
        /// A request to a loopback address for any other name is refused with 421: a web page can
        /// point a name of its own there.
        hosts: Vec<String> = "[]", in HostNames,
            env "MICROBATCH_SERVER__HOSTS";
    }

    /// `[admin]`: the listener for operators.
    admin: Admin {
        /// Live page, metrics and health; "" for nowhere
        listen: Option<String> = "127.0.0.1:8081", in OptionalAddress,
            flag "--admin-listen" "HOST:PORT", env "MICROBATCH_ADMIN__LISTEN";

        /// Host names to answer to on loopback, besides localhost
        hosts: Vec<String> = "[]", in HostNames,
            env "MICROBATCH_ADMIN__HOSTS";
    }

    /// `[batch]`: when a batch leaves, and how large it may be.
    batch: Batch {
        /// Most jobs in one batch
        max_size: usize = "100", in count(1..=100_000),
            flag "--max-size" "N", env "MICROBATCH_BATCH__MAX_SIZE";

        /// Largest array sent upstream
        ///
        /// In bytes, brackets and commas included.
        max_bytes: usize = "1MiB", in size(1..=GIB),
            flag "--max-bytes" "SIZE", env "MICROBATCH_BATCH__MAX_BYTES";

        /// Longest a job waits for company while a slot is free
        ///
        /// 0 sends as soon as a slot is free. The timer ticks in milliseconds, so a wait ends up
        /// to 1 ms late.
        max_wait: Duration = "5ms", in time(ZERO..=HOUR),
            flag "--max-wait" "DURATION", env "MICROBATCH_BATCH__MAX_WAIT";

        /// Whether to wait less where waiting can't pay
        wait: Wait = "fixed", in WAIT,
            flag "--wait" "fixed|adaptive", env "MICROBATCH_BATCH__WAIT";
    }

    /// `[queue]`: what bounds the jobs that wait.
    queue: Queue {
        /// Most jobs that wait
        max_jobs: usize = "10000", in count(1..=10_000_000),
            flag "--queue-max-jobs" "N", env "MICROBATCH_QUEUE__MAX_JOBS";

        /// Most bytes of jobs that wait
        max_bytes: usize = "64MiB", in size(1..=64 * GIB),
            env "MICROBATCH_QUEUE__MAX_BYTES";

        /// What a job does that finds the queue full: reject or wait
        ///
        /// As many may wait for room as the queue holds, or 1,000 jobs and 64 MiB if that is more.
        on_full: OnFull = "reject", in ON_FULL,
            env "MICROBATCH_QUEUE__ON_FULL";
    }

    /// `[upstream]`: where batches go, and how.
    upstream: Upstream {
        /// Where batches are POSTed (required)
        ///
        /// `http` or `https`, with a host and without a fragment. User information and query
        /// values are secrets: they are redacted wherever the URL is printed.
        url: Url, in Target,
            flag "--upstream" "URL", env "MICROBATCH_UPSTREAM__URL";

        /// Most batches in flight at once, or adaptive
        ///
        /// `"adaptive"` finds out how many the upstream bears, from its latency and from what it
        /// turns away.
        max_in_flight: MaxInFlight = "10", in SLOTS,
            flag "--max-in-flight" "N", env "MICROBATCH_UPSTREAM__MAX_IN_FLIGHT";

        /// Longest the upstream may take to answer a batch
        timeout: Duration = "10s", in time(MILLISECOND..=DAY),
            flag "--upstream-timeout" "DURATION", env "MICROBATCH_UPSTREAM__TIMEOUT";

        /// Longest a connection to the upstream may take to open
        connect_timeout: Duration = "1s", in time(MILLISECOND..=HOUR),
            env "MICROBATCH_UPSTREAM__CONNECT_TIMEOUT";

        /// Largest answer to one batch
        max_response: usize = "16MiB", in size(2..=GIB),
            env "MICROBATCH_UPSTREAM__MAX_RESPONSE";

        /// Longest a connection to the upstream is kept without a batch
        ///
        /// Shorter than the upstream keeps it, or a batch may meet its end. Where the upstream
        /// announces less (`Keep-Alive: timeout=`), it is given up before that.
        idle_timeout: Duration = "4s", in time(MILLISECOND..=HOUR),
            env "MICROBATCH_UPSTREAM__IDLE_TIMEOUT";

        /// Longest a connection to the upstream is given new batches; 0 for no limit
        ///
        /// So that DNS is asked again, and new replicas behind a balancer get their share.
        /// Connections are renewed one after the other within this time.
        max_connection_age: Duration = "1m", in time(ZERO..=DAY),
            env "MICROBATCH_UPSTREAM__MAX_CONNECTION_AGE";

        /// Header sent with every batch (repeatable)
        ///
        /// Every value is marked sensitive and never printed. Layers add up by header name.
        headers: HeaderMap = "{}", in Headers,
            flag "--upstream-header" "K: V", env "MICROBATCH_UPSTREAM__HEADERS";

        /// Whether the upstream answers by-id, or none that is read
        results: Results = "by-id", in RESULTS,
            env "MICROBATCH_UPSTREAM__RESULTS";

        /// Status of a job whose result has an error
        ///
        /// Where the result has no `status` of its own from 400 to 599.
        job_error_status: u16 = "422", in count(400..=599),
            env "MICROBATCH_UPSTREAM__JOB_ERROR_STATUS";

        /// Whether doing a job twice does no harm
        ///
        /// Then failures are retried too of which nobody knows whether the upstream did the jobs.
        idempotent: bool = "false", in Switch,
            env "MICROBATCH_UPSTREAM__IDEMPOTENT";

        /// Statuses on which a batch is bisected to find the job to blame
        ///
        /// Only where a batch so answered had no effect.
        split_on: Vec<u16> = "[]", in Statuses,
            env "MICROBATCH_UPSTREAM__SPLIT_ON";

        /// Shortest time between two batches leaving; 0 for none
        min_interval: Duration = "0", in time(ZERO..=HOUR),
            env "MICROBATCH_UPSTREAM__MIN_INTERVAL";
    }

    /// `[retry]`: when a failed batch is sent again.
    retry: Retry {
        /// Most times one batch is sent, the first included; 1 for no retries
        max_attempts: u32 = "3", in count(1..=100),
            env "MICROBATCH_RETRY__MAX_ATTEMPTS";

        /// Longest pause before the first retry
        ///
        /// Each pause is a random time from 0 to this; the bound doubles with every retry.
        base: Duration = "25ms", in time(MILLISECOND..=HOUR),
            env "MICROBATCH_RETRY__BASE";

        /// Longest pause before any retry
        ///
        /// But never before the upstream's `Retry-After`.
        cap: Duration = "1s", in time(MILLISECOND..=HOUR),
            env "MICROBATCH_RETRY__CAP";

        /// Retries allowed, as a share of the batches of the last 10 s
        budget: f64 = "0.2", in fraction(0.0..=1.0),
            env "MICROBATCH_RETRY__BUDGET";

        /// Retries allowed in any 10 s whatever the load
        budget_min: u32 = "3", in count(0..=1_000_000),
            env "MICROBATCH_RETRY__BUDGET_MIN";
    }

    /// `[circuit]`: when jobs are refused because the upstream is down.
    circuit: Circuit {
        /// Failed calls in a row that open the circuit; 0 for never
        ///
        /// Failed is: not reached, no answer in time, connection lost, 5xx, not JSON.
        failures: u32 = "0", in count(0..=1_000_000),
            env "MICROBATCH_CIRCUIT__FAILURES";

        /// Time from the circuit opening to the probing batch
        open_for: Duration = "5s", in time(MILLISECOND..=HOUR),
            env "MICROBATCH_CIRCUIT__OPEN_FOR";
    }

    /// `[shutdown]`: how the process ends.
    shutdown: Shutdown {
        /// Time from /readyz saying no to the listener closing
        delay: Duration = "0", in time(ZERO..=HOUR),
            env "MICROBATCH_SHUTDOWN__DELAY";

        /// Longest the jobs in the house may take to finish
        timeout: Duration = "5s", in time(ZERO..=HOUR),
            flag "--shutdown-timeout" "DURATION", env "MICROBATCH_SHUTDOWN__TIMEOUT";
    }

    /// `[log]`: what is logged to stderr.
    log: Log {
        /// Level, or by target: warn,microbatch=debug
        level: String = "info", in Level,
            flag "--log-level" "LEVEL", env "MICROBATCH_LOG__LEVEL";

        /// Auto is text on a terminal, else json
        format: LogFormat = "auto", in LOG_FORMAT,
            flag "--log-format" "auto|text|json", env "MICROBATCH_LOG__FORMAT";

        /// Whether the log and the live page show the first characters of an answer that
        /// failed a whole batch
        upstream_errors: bool = "true", in Switch,
            env "MICROBATCH_LOG__UPSTREAM_ERRORS";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_follows_from_the_key() {
        for key in keys() {
            let env = key.key.to_uppercase().replace('.', "__");
            assert_eq!(key.env, format!("MICROBATCH_{env}"));
            assert!(SECTIONS.contains(&key.section()));
            assert!(!key.help.is_empty() && !key.name().is_empty());
            assert!(key.flag.is_none_or(|flag| flag.starts_with("--")));
            assert_eq!(key.flag.is_none(), key.value_name.is_empty());
        }
    }

    #[test]
    fn every_default_reads_and_prints_as_itself() {
        let mut draft = Draft::default();
        for key in keys() {
            let text = key.default.unwrap_or("http://h/");
            draft.read(key, Raw::Text(text), Origin::Default).unwrap();
        }
        for (key, printed) in draft.finish().unwrap().entries() {
            let text = key.default.unwrap_or("http://h/");
            assert_eq!(printed.trim_matches('"'), text, "{}", key.key);
        }
    }
}
