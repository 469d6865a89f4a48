//! The command line is read as documented.

use clap::CommandFactory;

use super::*;

fn exit(arguments: &[&str]) -> Exit {
    program(std::iter::once("rialto").chain(arguments.iter().copied()).map(OsString::from).collect())
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn a_wrong_command_line_is_usage() {
    assert_eq!(exit(&["frobnicate"]), Exit::Usage);
    assert_eq!(exit(&["man", "--frobnicate"]), Exit::Usage);
}

#[test]
fn health_knows_only_0_and_1() {
    assert_eq!(exit(&["health", "--frobnicate"]), Exit::Failed);
    assert_eq!(exit(&["health", "--url", "ftp://localhost"]), Exit::Failed);
}
