//! What a command is given to get in with, where the proxy's listener speaks TLS or wants a token.

use std::path::PathBuf;

use clap::Args;

/// Flags of every command that asks a running proxy.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Certificates, in PEM, that sign the proxy's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Name that its certificate must have, instead of its address's
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
    /// Our certificate with its chain, in PEM, for a proxy that wants one
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// File of the token to show, as `microbatch token` has printed it
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}
