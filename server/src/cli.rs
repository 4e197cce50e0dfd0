//! The command line. It is fixed: scripts rely on it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::config::{Config, Duration, Layer, Parsed, Profile, check, read_environment, read_file};
use crate::exit::{Code, Failure};

/// A time-series database for container metrics, drop-in for InfluxDB 1.x.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Collects, stores and answers queries.
    #[command(after_help = EXIT_CODES)]
    Serve(ServeArgs),
    /// Finds what `serve` would refuse, without serving.
    #[command(after_help = EXIT_CODES)]
    CheckConfig(ServeArgs),
    /// Merges every partition of a data directory that no server uses into one segment.
    #[command(after_help = EXIT_CODES)]
    Compact(DataArgs),
    /// Reads every checksum of a data directory that no server uses; the exit code says whether all
    /// of it verifies.
    #[command(after_help = EXIT_CODES)]
    Verify(DataArgs),
    /// Shows what a data directory that no server uses is made of.
    #[command(after_help = EXIT_CODES)]
    Inspect(InspectCommand),
    /// Leaves out of a corrupt log what does not verify, and says what is lost.
    #[command(after_help = EXIT_CODES)]
    Repair(DataArgs),
    /// Makes a backup: by a running server, or of a directory that none uses.
    #[command(after_help = EXIT_CODES)]
    Backup(BackupCommand),
    /// Makes a new data directory out of a backup, and verifies it.
    #[command(after_help = EXIT_CODES)]
    Restore(commands::backup::RestoreArgs),
    /// Writes a data directory that no server uses as line protocol.
    #[command(after_help = EXIT_CODES)]
    Export(ExportCommand),
    /// Reads line protocol into a server, or into a data directory that none uses.
    #[command(after_help = EXIT_CODES)]
    Import(ImportCommand),
    /// Reads a target once and shows what it gives, what is kept, and what is dropped and why.
    Scrape(commands::scrape::ScrapeArgs),
    /// Asks a server whether it is well; the exit code answers (0: it is).
    Ping(commands::ping::PingArgs),
    /// Runs a query on a server and prints the answer.
    Query(commands::query::QueryArgs),
    /// A prompt for InfluxQL.
    Shell(commands::shell::ShellArgs),
    /// Shows the containers that take most, by a server's last points.
    Top(commands::top::TopArgs),
    /// Writes a small load and prints how long it took.
    Bench(BenchCommand),
}

const EXIT_CODES: &str = "Every setting has a key in the TOML file and a variable PLIMSOLL_… of \
the same name; flags win over variables, variables over the file.

Exit codes: 0 ended in order, 1 failed, 2 wrong flag, variable or configuration, 3 cannot listen, \
4 data directory cannot be used, 5 stored data is corrupt, 6 token or CA file cannot be read";

/// The options of commands that work on a data directory.
#[derive(Debug, Args)]
struct DataArgs {
    /// TOML file with settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory [default: ./plimsoll-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl DataArgs {
    /// The same configuration as `serve` would have.
    fn config(self) -> Result<(Config, Vec<String>), Failure> {
        let args = ServeArgs {
            config: self.config,
            data: self.data,
            ..ServeArgs::default()
        };
        args.config()
    }
}

/// The options of `inspect`.
#[derive(Debug, Args)]
struct InspectCommand {
    #[command(flatten)]
    data: DataArgs,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = commands::inspect::Format::Table)]
    format: commands::inspect::Format,
}

/// The options of `backup`.
#[derive(Debug, Args)]
struct BackupCommand {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    online: commands::backup::OnlineArgs,
}

/// The options of `export`.
#[derive(Debug, Args)]
struct ExportCommand {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    export: commands::export::ExportArgs,
}

/// The options of `import`.
#[derive(Debug, Args)]
struct ImportCommand {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    import: commands::import::ImportArgs,
}

/// The options of `bench`.
#[derive(Debug, Args)]
struct BenchCommand {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    bench: commands::bench::BenchArgs,
}

/// The options of `serve` and `check-config`.
#[derive(Debug, Default, Args)]
struct ServeArgs {
    /// TOML file with settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory [default: ./plimsoll-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:8086]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<Parsed<crate::config::Listen>>,
    /// cAdvisor to collect from, as http://HOST:8080; may be given several times
    #[arg(long, value_name = "URL")]
    cadvisor: Vec<String>,
    /// Kubelet to collect from, as https://NODE:10250; may be given several times
    #[arg(long, value_name = "URL")]
    kubelet: Vec<String>,
    /// File with the bearer token for Kubelets; read again when it rotates
    #[arg(long, value_name = "FILE")]
    kubelet_token_file: Option<PathBuf>,
    /// File with the Kubelets' certificate authority, PEM
    #[arg(long, value_name = "FILE")]
    kubelet_ca_file: Option<PathBuf>,
    /// Do not check the Kubelets' certificates
    #[arg(long)]
    kubelet_insecure_skip_verify: bool,
    /// Find nodes by the Kubernetes API
    #[arg(long)]
    kubernetes: bool,
    /// Source as Heapster wrote it, as kubernetes:https://HOST; may be given several times
    #[arg(long, value_name = "URI")]
    source: Vec<String>,
    /// How often sources are read [default: 10s]
    #[arg(long, value_name = "DURATION")]
    interval: Option<Parsed<Duration>>,
    /// Names of collected series [default: classic]
    #[arg(long, value_name = "PROFILE")]
    profile: Option<Parsed<Profile>>,
    /// Do not collect this machine's cgroups
    #[arg(long)]
    no_cgroup: bool,
}

impl ServeArgs {
    /// The configuration out of all three places, and what is odd but no error.
    fn config(self) -> Result<(Config, Vec<String>), Failure> {
        let wrong = |lines| Failure {
            code: Code::Configuration,
            lines,
        };
        let variables = std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
        let environment = read_environment(variables);
        let path = self.config.clone().or(environment.config);
        let file = path.map_or(Ok(Layer::default()), |path| read_file(&path));
        let mut errors = environment.errors;
        let file = file.unwrap_or_else(|error| {
            errors.push(error);
            Layer::default()
        });
        let layer = self.layer(&mut errors).over(environment.layer).over(file);
        let config = check(layer).map_err(|more| errors.extend(more));
        let warnings = environment.unknown.into_iter();
        let warnings = warnings.map(|name| format!("{name} is no setting and is ignored"));
        match config {
            Ok(config) if errors.is_empty() => {
                let warnings = warnings.chain(config.sources.warnings.clone()).collect();
                Ok((config, warnings))
            }
            _ => Err(wrong(errors)),
        }
    }

    /// The flags as a layer. Addresses are read here and not by clap, which would print the
    /// password of one that is wrong.
    fn layer(self, errors: &mut Vec<String>) -> Layer {
        let mut list = |flag: &str, texts: Vec<String>| {
            let mut urls = Vec::new();
            for text in &texts {
                match text.parse() {
                    Ok(url) => urls.push(Parsed(url)),
                    Err(error) => errors.push(format!("--{flag}: {error}")),
                }
            }
            (!texts.is_empty()).then_some(urls)
        };
        Layer {
            data: self.data,
            listen: self.listen,
            cadvisor: list("cadvisor", self.cadvisor),
            kubelet: list("kubelet", self.kubelet),
            kubelet_token_file: self.kubelet_token_file,
            kubelet_ca_file: self.kubelet_ca_file,
            kubelet_insecure_skip_verify: self.kubelet_insecure_skip_verify.then_some(true),
            kubernetes: self.kubernetes.then_some(true),
            source: (!self.source.is_empty()).then_some(self.source),
            interval: self.interval,
            profile: self.profile,
            cgroup: self.no_cgroup.then_some(false),
            ..Layer::default()
        }
    }
}

/// Runs what the process was asked for.
#[must_use]
pub fn run() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Serve(args) => args
            .config()
            .and_then(|(config, warnings)| commands::serve::run(config, &warnings)),
        Command::CheckConfig(args) => args
            .config()
            .and_then(|(config, warnings)| commands::check_config::run(&config, &warnings)),
        Command::Compact(args) => args
            .config()
            .and_then(|(config, warnings)| commands::compact::run(&config, &warnings)),
        Command::Verify(args) => args
            .config()
            .and_then(|(config, warnings)| commands::verify::run(&config, &warnings)),
        Command::Inspect(InspectCommand { data, format }) => data
            .config()
            .and_then(|(config, warnings)| commands::inspect::run(&config, &warnings, format)),
        Command::Repair(args) => args
            .config()
            .and_then(|(config, warnings)| commands::repair::run(&config, &warnings)),
        Command::Backup(BackupCommand { online, .. }) if online.is_online() => {
            commands::backup::run_online(&online)
        }
        Command::Backup(BackupCommand { data, online }) => {
            data.config().and_then(|(config, warnings)| {
                commands::backup::run_offline(&config, &warnings, &online)
            })
        }
        Command::Restore(args) => commands::backup::run_restore(&args),
        Command::Export(ExportCommand { data, export }) => data
            .config()
            .and_then(|(config, warnings)| commands::export::run(&config, &warnings, &export)),
        Command::Import(ImportCommand { data, import }) => match data.data.is_some() {
            true => data
                .config()
                .and_then(|config| commands::import::run(&import, Some(config))),
            false => commands::import::run(&import, None),
        },
        Command::Scrape(args) => commands::scrape::run(args),
        Command::Ping(args) => commands::ping::run(&args),
        Command::Query(args) => commands::query::run(&args),
        Command::Shell(args) => commands::shell::run(args),
        Command::Top(args) => commands::top::run(&args),
        Command::Bench(BenchCommand { data, bench }) => match data.data.is_some() {
            true => data
                .config()
                .and_then(|config| commands::bench::run(&bench, Some(config))),
            false => commands::bench::run(&bench, None),
        },
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code as u8)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_serve_has_a_key_and_a_variable() {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        for flag in serve.get_opts().chain(serve.get_arguments()) {
            let Some(name) = flag.get_long() else {
                continue;
            };
            let key = name.strip_prefix("no-").unwrap_or(name).replace('-', "_");
            let known = Layer::KEYS.iter().any(|(known, _)| *known == key);
            assert!(known || matches!(name, "config" | "help"), "--{name}");
        }
    }
}
