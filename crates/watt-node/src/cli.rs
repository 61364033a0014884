//! The command line: one file per command, thin; the work is elsewhere. Output goes through [`Ui`], errors are
//! [`CommandError`]s, exit codes those of `docs/spec/api.md` §2.

mod account;
mod cat;
mod chain;
mod completion;
mod config;
mod demo;
mod devnet;
mod get;
mod health;
mod ls;
mod node;
mod peers;
mod provider;
mod put;
mod recovery;
mod restart;
mod rm;
mod scp;
mod seat;
mod session;
mod status;
mod trust;
mod upgrade;
mod usage;
mod verify;

use crate::config::Environment;
use crate::error::CommandError;
use crate::ui::{Format, Ui};
use clap::{Args, CommandFactory, Parser, Subcommand};
use session::Session;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

#[cfg(test)]
mod tests;

/// Store files on a network of many machines: encrypted, proven, paid for only while they are really there.
#[derive(Debug, Parser)]
#[command(
    name = "watt",
    version,
    after_help = "First steps:\n  watt demo                 see the whole thing work, in a minute\n  \
                  watt devnet up            start a network on this machine and keep it\n  \
                  watt put photo.jpg        store a file; prints a link\n  \
                  watt get 'watt:…'         fetch it again\n\n\
                  Exit codes: 0 done, 1 other, 2 wrong usage, 3 not found, 4 temporary (try again), 5 not allowed,\n  \
                  6 not enough WATT, 7 exists or in conflict, 8 verification failed, 9 partly done, 10 address taken,\n  \
                  130 interrupted.",
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 110
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Options for every command")]
struct Globals {
    /// Talk to this node, for example http://127.0.0.1:28471 [env: WATT_API] [default: the devnet you run]
    #[arg(long, global = true, value_name = "URL")]
    api: Option<String>,
    /// Act for this account, a name of `watt account list` [env: WATT_ACCOUNT]
    #[arg(long, global = true, value_name = "NAME")]
    account: Option<String>,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Keep all files under this folder [env: WATT_HOME]
    #[arg(long, global = true, value_name = "DIR", hide_short_help = true)]
    home: Option<PathBuf>,
    /// Read this configuration file [env: WATT_CONFIG]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    config: Option<PathBuf>,
    /// Say more; twice for even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Say nothing but the result
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    /// Run a whole network on this machine
    #[command(subcommand)]
    Devnet(devnet::DevnetCommand),
    Put(put::PutArgs),
    Get(get::GetArgs),
    Cat(cat::CatArgs),
    Ls(ls::LsArgs),
    Rm(rm::RmArgs),
    Status(status::StatusArgs),
    /// Accounts: make, list, balance, send
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Say whom you trust
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    /// Which nodes to ask
    #[command(subcommand)]
    Peers(peers::PeersCommand),
    /// Seats of those who decide on blocks
    #[command(subcommand)]
    Seat(seat::SeatCommand),
    #[command(subcommand)]
    Upgrade(upgrade::UpgradeCommand),
    /// Look into the ledger
    #[command(subcommand)]
    Chain(chain::ChainCommand),
    Verify(verify::VerifyArgs),
    /// Run a node that keeps the ledger
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Lend space and earn
    #[command(subcommand)]
    Provider(provider::ProviderCommand),
    /// Look into agreement
    #[command(subcommand)]
    Scp(scp::ScpCommand),
    /// Show the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Completion(completion::CompletionArgs),
}

/// Runs the program with the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os(), &Environment::read())
}

fn run(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let wants_json = arguments.iter().any(|argument| argument == "--json");
    let no_color = environment.get("NO_COLOR").is_some();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let format = if wants_json { Format::Json } else { Format::Text };
            return usage::answer(&Ui::new(format, false, no_color), &error);
        }
    };
    let format = if cli.globals.json {
        Format::Json
    } else {
        Format::Text
    };
    if let Command::Node(node::NodeCommand::Health(args)) = &cli.command
        && args.search
    {
        return crate::health::search(args.deadline);
    }
    let ui = Ui::new(format, cli.globals.quiet, no_color);
    match execute(&ui, cli, environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui.error(&error);
            ExitCode::from(error.kind.exit_code())
        }
    }
}

fn execute(ui: &Ui, cli: Cli, environment: &Environment) -> Result<(), CommandError> {
    let session = Session::new(ui.clone(), cli.globals, environment.clone())?;
    let handles_interrupt = match &cli.command {
        Command::Node(node::NodeCommand::Run(_))
        | Command::Provider(provider::ProviderCommand::Run(_))
        | Command::Demo(_) => true,
        Command::Devnet(command) => matches!(command, devnet::DevnetCommand::Up(_)),
        Command::Put(_)
        | Command::Get(_)
        | Command::Cat(_)
        | Command::Ls(_)
        | Command::Rm(_)
        | Command::Status(_)
        | Command::Account(_)
        | Command::Trust(_)
        | Command::Seat(_)
        | Command::Upgrade(_)
        | Command::Peers(_)
        | Command::Chain(_)
        | Command::Verify(_)
        | Command::Node(
            node::NodeCommand::Status { .. }
            | node::NodeCommand::Health(_)
            | node::NodeCommand::Recover(_)
            | node::NodeCommand::RestartPlan(_),
        )
        | Command::Provider(
            provider::ProviderCommand::Status { .. } | provider::ProviderCommand::Scrub { .. },
        )
        | Command::Scp(_)
        | Command::Config(_)
        | Command::Completion(_) => false,
    };
    session::block_on(async move {
        let work = Box::pin(dispatch(&session, cli.command));
        if handles_interrupt {
            return work.await;
        }
        tokio::select! {
            result = work => result,
            () = session::interrupted() => Err(CommandError::interrupted()),
        }
    })
}

async fn dispatch(session: &Session, command: Command) -> Result<(), CommandError> {
    match command {
        Command::Demo(args) => demo::run(session, args).await,
        Command::Devnet(command) => devnet::run(session, command).await,
        Command::Put(args) => put::run(session, args).await,
        Command::Get(args) => get::run(session, args).await,
        Command::Cat(args) => cat::run(session, args).await,
        Command::Ls(args) => ls::run(session, args).await,
        Command::Rm(args) => rm::run(session, args).await,
        Command::Status(args) => status::run(session, args).await,
        Command::Account(command) => account::run(session, command).await,
        Command::Trust(command) => trust::run(session, command).await,
        Command::Peers(command) => peers::run(session, command).await,
        Command::Seat(command) => seat::run(session, command).await,
        Command::Upgrade(command) => upgrade::run(session, command).await,
        Command::Chain(command) => chain::run(session, command).await,
        Command::Verify(args) => verify::run(session, &args),
        Command::Node(node::NodeCommand::Run(args)) => node::run(session, args).await,
        Command::Node(node::NodeCommand::Status { node }) => node::status(session, node.as_deref()).await,
        Command::Node(node::NodeCommand::Health(args)) => health::run(session, args).await,
        Command::Node(node::NodeCommand::Recover(args)) => recovery::recover(session, args).await,
        Command::Node(node::NodeCommand::RestartPlan(command)) => restart::run(session, command).await,
        Command::Provider(command) => provider::run(session, command).await,
        Command::Scp(command) => scp::run(session, command).await,
        Command::Config(command) => config::run(session, &command),
        Command::Completion(args) => completion::run(session, &args),
    }
}

/// The whole command, for completion scripts and help texts.
fn command() -> clap::Command {
    Cli::command()
}
