//! Arguments, command, exit code; nothing else.

fn main() -> std::process::ExitCode {
    rialto::cli::main()
}
