//! Redis over TLS, and by users that come and go.

use std::{thread, time::Duration};

use super::{
    Circle,
    authority::{Authority, GOOD, Says},
};
use crate::{
    cli::Place,
    redis::{Server, free_port},
};

const TO: &str = "stream: s";
const BACK: &str = "stream: s, group: h";

/// A Redis that speaks TLS with files of `place`, and where.
fn over_tls(place: &Place, authority: &Authority) -> (Server, u16) {
    let folder = place.path("");
    let (clients, port) = (authority.trust(&folder, "clients"), free_port().to_string());
    let (cert, key) = authority.issue(&folder, "server", &GOOD);
    let text = |path: &std::path::PathBuf| path.display().to_string();
    let options = ["--tls-port", &port, "--tls-ca-cert-file", &text(&clients), "--tls-cert-file", &text(&cert)];
    let server = Server::start(&[&options[..], &["--tls-key-file", &text(&key)]].concat());
    (server, port.parse().expect("a port"))
}

/// Makes it show what its files hold now, to connections that open from now on.
fn show_new_certificates(server: &Server, place: &Place) {
    let file = |name: &str| place.path(name).display().to_string();
    let _: () = server.run(&["CONFIG", "SET", "tls-cert-file", &file("server.pem"), "tls-key-file", &file("server.key")]);
    let _: u64 = server.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
}

#[test]
fn certificates_are_judged_and_rotated_on_both_sides() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let place = Place::empty();
    let folder = place.path("");
    let (server, port) = over_tls(&place, &ours);
    let trusted = ours.trust(&folder, "ca");
    let client = |until| ours.issue(&folder, "client", &Says { host: "", name: "rialto", until });
    let (cert, key) = client(2999);
    let tls = format!("ca_file: '{}', cert_file: '{}', key_file: '{}'", trusted.display(), cert.display(), key.display());
    let far = format!("{{ redis: {{ url: 'rediss://localhost:{port}', tls: {{ {tls} }} }} }}");
    let mut circle = Circle::start(place, &far, TO, BACK);
    circle.flows();

    for (authority, says, words) in [
        (&ours, Says { until: 2001, ..GOOD }, "certificate expired"),
        (&ours, Says { host: "elsewhere.test", ..GOOD }, "not valid for name"),
        (&theirs, GOOD, "UnknownIssuer"),
    ] {
        authority.issue(&folder, "server", &says);
        show_new_certificates(&server, &circle.place);
        circle.waits("tls", words);
        ours.issue(&folder, "server", &GOOD);
        show_new_certificates(&server, &circle.place);
        circle.flows();
    }

    // Ours has ended; the next one is taken up without a restart.
    client(2001);
    show_new_certificates(&server, &circle.place);
    circle.waits("tls", "CertificateExpired");
    client(2999);
    circle.flows();
    // So is a new authority.
    theirs.issue(&folder, "server", &GOOD);
    show_new_certificates(&server, &circle.place);
    circle.waits("tls", "UnknownIssuer");
    theirs.trust(&folder, "ca");
    circle.flows();
    circle.ends_well(&[]);
}

#[test]
fn a_user_that_is_taken_away_under_load_is_waited_for() {
    let place = Place::empty();
    let server = Server::start(&[]);
    let allow = || {
        let user = ["ACL", "SETUSER", "rialto", "reset", "on", ">s3cr3t", "~s", "&*", "+@all", "-@admin", "-@dangerous"];
        let _: () = server.run(&user);
    };
    allow();
    let far = format!("'redis://rialto:s3cr3t@127.0.0.1:{}'", server.port());
    let mut circle = Circle::start(place, &far, TO, BACK);
    circle.flows();
    for round in 0..3 {
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(100 + 50 * round));
                // Its connections are closed with it.
                let _: u64 = server.run(&["ACL", "DELUSER", "rialto"]);
            });
            for _ in 0..200 {
                circle.put();
                thread::sleep(Duration::from_millis(1));
            }
        });
        circle.waits("unauthenticated", "WRONGPASS");
        allow();
        circle.flows();
    }
    circle.ends_well(&["s3cr3t"]);
}

#[test]
fn a_key_that_is_denied_pauses_its_destination() {
    let place = Place::empty();
    let server = Server::start(&[]);
    let allow = |keys: &str| {
        let _: () = server.run(&["ACL", "SETUSER", "rialto", "reset", "on", ">s3cr3t", keys, "&*", "+@all"]);
    };
    allow("~s");
    let far = format!("'redis://rialto:s3cr3t@127.0.0.1:{}'", server.port());
    let mut circle = Circle::start(place, &far, TO, BACK);
    circle.flows();
    // The connection stays, its rights do not.
    allow("~other");
    circle.waits("forbidden", "NOPERM");
    allow("~s");
    circle.flows();
    circle.ends_well(&["s3cr3t"]);
}
