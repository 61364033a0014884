//! The released program.

fn main() -> std::process::ExitCode {
    watt_node::cli::main()
}
