//! The command line is read as documented.

use clap::CommandFactory;

use super::*;
use crate::outcome::Reason;

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

#[test]
fn a_panic_has_a_code_of_its_own() {
    assert_eq!(guarded(|| panic!("planted by the test")), Exit::Panic);
    assert_eq!(guarded(|| Exit::Success), Exit::Success);
}

#[test]
fn codes_are_those_of_the_documents() {
    let code = |reason: Reason| Exit::from(reason) as u8;
    assert_eq!([Exit::Success as u8, Exit::Failed as u8, Exit::Usage as u8, Exit::Panic as u8, Exit::Io as u8], [0, 1, 2, 70, 74]);
    assert_eq!([Exit::Config as u8, Exit::Interrupted as u8, Exit::Terminated as u8], [78, 130, 143]);
    assert_eq!([Reason::Link, Reason::Timeout, Reason::Dns, Reason::Tls, Reason::Unroutable, Reason::Throttled].map(code), [69; 6]);
    assert_eq!([Reason::Forbidden, Reason::Unauthenticated].map(code), [77; 2]);
    assert_eq!([Reason::Refused, Reason::TooLarge, Reason::Undecodable, Reason::Address].map(code), [65; 4]);
}
