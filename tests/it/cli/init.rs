//! `rialto init`: a first file that the other commands understand.

use super::Place;

const PRESETS: [&str; 5] = ["dev", "rabbitmq-to-redis", "kafka-to-redis", "service-bus-to-kafka", "http-to-webhook"];

#[test]
fn what_is_written_passes_the_check() {
    for preset in PRESETS {
        let place = Place::empty();
        let answer = place.rialto(&["init", preset]);
        assert_eq!((answer.code, answer.out.as_str()), (0, ""), "{preset}: {}", answer.err);
        assert!(answer.err.contains("rialto.yaml is written"), "{}", answer.err);
        let answer = place.rialto(&["check"]);
        assert_eq!(answer.code, 0, "{preset}: {}", answer.err);
        assert!(!answer.err.contains("warning"), "{preset}: {}", answer.err);
    }
}

#[test]
fn the_default_preset_is_the_embedded_default() {
    let place = Place::empty();
    assert_eq!(place.rialto(&["init", "-o", "mine.yaml"]).code, 0);
    let written = std::fs::read_to_string(place.path("mine.yaml")).expect("a file");
    let embedded = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/rialto.yaml")).expect("a file");
    assert_eq!(written, embedded);
}

#[test]
fn a_file_that_is_there_is_written_over_only_by_force() {
    let place = Place::with("name: mine\n");
    let answer = place.rialto(&["init"]);
    assert_eq!(answer.code, 74);
    assert!(answer.err.contains("`--force` writes over it"), "{}", answer.err);
    assert_eq!(std::fs::read_to_string(place.path("rialto.yaml")).expect("a file"), "name: mine\n");
    assert_eq!(place.rialto(&["init", "--force", "rabbitmq-to-redis"]).code, 0);
    assert!(std::fs::read_to_string(place.path("rialto.yaml")).expect("a file").contains("orders.events"));
    assert!(!place.path("rialto.yaml.new").exists());
    assert_eq!(place.rialto(&["init", "-o", "no/such/place.yaml"]).code, 74);
    assert_eq!(place.rialto(&["init", "nothing"]).code, 2);
}
