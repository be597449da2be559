//! Limits the number of threads that the crates use.

use std::env;
use std::process::Command;

/// The variables that the thread pools of these crates read once, on first use.
const VARIABLES: [&str; 2] = ["RAYON_NUM_THREADS", "MATMUL_NUM_THREADS"];

/// Limits the thread pools of all crates. They only read the environment, so if that has another limit,
/// the program restarts itself and this function does not return unless that fails.
pub fn limit_threads(count: usize) -> Result<(), String> {
    let count = count.max(1).to_string();
    if VARIABLES.iter().all(|variable| env::var(variable).as_deref() == Ok(&count)) {
        return Ok(());
    }
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(own);
    command.args(env::args_os().skip(1)).envs(VARIABLES.map(|variable| (variable, &count)));
    let status = command.status().map_err(|error| error.to_string())?;
    std::process::exit(status.code().unwrap_or(1));
}
