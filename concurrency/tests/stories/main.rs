//! What the batcher promises, whatever runs when. Each story says what could go
//! wrong in it, and runs under thousands of schedules.

mod accounting;
mod closing;
mod detached;
mod frames;
mod harness;
mod loading;
mod parked;
mod runtimes;
mod sharing;
mod waking;
