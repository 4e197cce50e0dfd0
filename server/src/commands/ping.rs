//! `plimsoll ping`: the health check of containers.

use clap::Args;
use reqwest::Method;

use super::client::{Login, ask, server};
use crate::config::{Duration, Parsed};
use crate::exit::{Code, Failure};

/// Options of `ping`.
#[derive(Debug, Args)]
pub struct PingArgs {
    /// The server to ask
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8086")]
    url: String,
    #[command(flatten)]
    login: Login,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    timeout: Parsed<Duration>,
}

/// Asks `/ping`.
///
/// # Errors
/// No answer, or another one than success.
pub fn run(args: &PingArgs) -> Result<(), Failure> {
    let url = &server(&args.url)?;
    let (status, _) = ask(
        url,
        &args.login,
        Method::GET,
        "/ping",
        None,
        args.timeout.0.0,
    )?;
    if status.is_success() {
        Ok(())
    } else {
        let line = format!("{url}/ping answered {status}");
        Err(Failure::new(Code::Failed, line))
    }
}
