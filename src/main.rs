//! Arguments, command, exit code; nothing else.

/// A fifth of what a message costs is saved here (docs/decisions/0020).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    rialto::cli::main()
}
