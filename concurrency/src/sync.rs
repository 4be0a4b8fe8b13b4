//! What `crate::sync` and `tokio::sync` are here.

pub use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
pub use shuttle::sync::{Mutex, MutexGuard};
pub use shuttle::thread_local;
pub use shuttle_tokio::sync::{Notify, mpsc, oneshot};
