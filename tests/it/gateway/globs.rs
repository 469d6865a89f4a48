//! Globs mean what they mean on a real redis-server, corner for corner.

use std::collections::BTreeSet;

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use redis::Client;
use rialto::live::hub::matches;

use super::Doors;

/// Bytes that mean something in a glob, some that do not, and ends of ranges on both sides of 0x80.
const ALPHABET: &[u8] = b"**??[[]]^\\\\--abcz\x00\x7f\x80\xff";

/// Channels of few letters, so that patterns of the same letters match some of them.
const LETTERS: &[u8] = b"abcz-]^\\*?[\x00\x7f\x80\xff";

fn generated(letters: &'static [u8], longest: usize, count: usize, runner: &mut TestRunner) -> BTreeSet<Vec<u8>> {
    let one = prop::collection::vec(prop::sample::select(letters.to_vec()), 0..=longest);
    (0..count).map(|_| one.new_tree(runner).expect("a value").current()).collect()
}

/// redis-server is asked which of many channels a pattern matches (`PUBSUB CHANNELS`), for thousands of patterns.
#[tokio::test]
async fn a_glob_matches_what_redis_server_says_it_matches() {
    let url = std::env::var("RIALTO_TEST_REDIS_URL").expect("RIALTO_TEST_REDIS_URL is not set: run `tests/run`");
    let seed: [u8; 32] = rand_seed();
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let channels = generated(LETTERS, 6, 1500, &mut runner);
    let patterns = generated(ALPHABET, 9, 4000, &mut runner);
    let client = Client::open(&*url).expect("a URL");
    let mut listener = client.get_async_pubsub().await.expect("Redis answers");
    // A name before each, so that what other tests listen to is not asked for.
    let mark = format!("glob-{}:", std::process::id()).into_bytes();
    for channel in &channels {
        listener.subscribe([&mark[..], channel].concat()).await.expect("subscribed");
    }
    let mut asking = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let mut matched = 0;
    for chunk in patterns.iter().collect::<Vec<_>>().chunks(100) {
        let mut pipe = redis::pipe();
        for pattern in chunk {
            pipe.cmd("PUBSUB").arg("CHANNELS").arg([&mark[..], pattern].concat());
        }
        let answers: Vec<BTreeSet<Vec<u8>>> = pipe.query_async(&mut asking).await.expect("answers");
        for (pattern, theirs) in chunk.iter().zip(answers) {
            let (glob, marked) = ([&mark[..], pattern].concat(), channels.iter().map(|channel| [&mark[..], channel].concat()));
            let ours: BTreeSet<_> = marked.filter(|channel| matches(&glob, channel)).collect();
            matched += ours.len();
            let shown = |set: &BTreeSet<Vec<u8>>| set.iter().map(|name| name.escape_ascii().to_string()).collect::<Vec<_>>();
            let differ = ours.symmetric_difference(&theirs).cloned().collect();
            assert!(ours == theirs, "seed {seed:?}: {} differs on {:?}", glob.escape_ascii(), shown(&differ));
        }
    }
    assert!(matched > 10_000, "only {matched} matches: the test shows nothing");
}

fn rand_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    fastrand::fill(&mut seed);
    seed
}

/// The index finds the same subscriptions as trying every pattern: counted by PUBLISH on both.
#[tokio::test]
async fn a_publish_is_counted_as_redis_server_counts_it() {
    let url = std::env::var("RIALTO_TEST_REDIS_URL").expect("RIALTO_TEST_REDIS_URL is not set: run `tests/run`");
    let doors = Doors::open();
    let here = Client::open(format!("redis://{}/", doors.address())).expect("a URL");
    let there = Client::open(&*url).expect("a URL");
    let mark = format!("count-{}:", std::process::id()).into_bytes();
    let mut runner = TestRunner::default();
    let patterns = generated(b"ab*?[]\\-", 5, 300, &mut runner);
    let channels = generated(b"ab-]\\", 5, 300, &mut runner);
    let mut kept = Vec::new();
    for client in [&here, &there] {
        let mut listener = client.get_async_pubsub().await.expect("connected");
        for pattern in &patterns {
            listener.psubscribe([&mark[..], pattern].concat()).await.expect("subscribed");
        }
        kept.push(listener);
    }
    let mut counts: Vec<Vec<u64>> = Vec::new();
    for client in [&here, &there] {
        let mut connection = client.get_multiplexed_async_connection().await.expect("connected");
        let mut pipe = redis::pipe();
        for channel in &channels {
            pipe.publish([&mark[..], channel].concat(), "x");
        }
        counts.push(pipe.query_async(&mut connection).await.expect("counts"));
    }
    assert_eq!(counts[0], counts[1]);
    assert!(counts[0].iter().sum::<u64>() > 300, "nothing matched: the test shows nothing");
}

/// Naive: each star tries every rest of the channel, and for every one of them the next star does so too.
#[test]
fn a_glob_of_many_stars_does_not_blow_up() {
    let (glob, channel) = ("*a".repeat(2000) + "b", "a".repeat(4000));
    let started = std::time::Instant::now();
    assert!(!matches(glob.as_bytes(), channel.as_bytes()));
    assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
}
