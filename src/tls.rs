//! TLS, by rustls, for all that speak it: what is made of files in PEM, and what its errors
//! mean to an operator.

pub mod client;
pub mod known;
pub mod words;
