//! Kafka's protocol by hand, as far as the tests must look behind the clients: what a group has committed, what a topic holds, and
//! topics made to order. The versions are old ones without tagged fields, which Kafka 4 still speaks
//! (<https://kafka.apache.org/protocol>).

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Nothing here takes long.
const PATIENCE: Duration = Duration::from_secs(10);

/// `UNKNOWN_TOPIC_OR_PARTITION`, `LEADER_NOT_AVAILABLE`, `NOT_LEADER_OR_FOLLOWER`: a topic that was just made.
const COMING: [i16; 3] = [3, 5, 6];

/// `COORDINATOR_LOAD_IN_PROGRESS`, `COORDINATOR_NOT_AVAILABLE`, `NOT_COORDINATOR`: the first who asks for a group makes Kafka look
/// after it.
const LOADING: [i16; 3] = [14, 15, 16];

/// One connection to a broker that is everything: leader, controller and coordinator.
pub(crate) struct Wire {
    stream: TcpStream,
    asked: i32,
}

/// A request under construction.
#[derive(Default)]
struct Request(Vec<u8>);

impl Request {
    fn i8(mut self, value: i8) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn i16(mut self, value: i16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn text(self, value: &str) -> Self {
        let mut request = self.i16(i16::try_from(value.len()).expect("a short text"));
        request.0.extend(value.as_bytes());
        request
    }

    fn null_text(self) -> Self {
        self.i16(-1)
    }
}

/// An answer being read.
struct Answer<'a>(&'a [u8]);

impl Answer<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().expect("a whole answer");
        self.0 = rest;
        *head
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take())
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take())
    }

    fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take())
    }

    fn text(&mut self) -> String {
        let length = self.i16().max(0) as usize;
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }

    fn array<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.i32()).map(|_| item(self)).collect()
    }
}

impl Wire {
    pub(crate) async fn to(address: &str) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await.expect("in time").expect("Kafka answers");
        stream.set_nodelay(true).expect("a live socket");
        Self { stream, asked: 0 }
    }

    async fn ask(&mut self, key: i16, version: i16, body: Request) -> Vec<u8> {
        self.asked += 1;
        let mut frame = Request::default().i16(key).i16(version).i32(self.asked).text("rialto-test");
        frame.0.extend(body.0);
        let answer = async {
            self.stream.write_u32(frame.0.len() as u32).await?;
            self.stream.write_all(&frame.0).await?;
            let mut answer = vec![0; self.stream.read_i32().await? as usize];
            self.stream.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = timeout(PATIENCE, answer).await.expect("an answer in time").expect("a live connection");
        assert_eq!(answer[..4], self.asked.to_be_bytes());
        answer[4..].to_vec()
    }

    /// Makes a topic (`CreateTopics` 2) and waits until it has its leaders.
    pub(crate) async fn create(&mut self, topic: &str, partitions: i32) {
        self.create_with(topic, partitions, &[]).await;
    }

    /// The same, with settings of its own.
    pub(crate) async fn create_with(&mut self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut request = Request::default()
            .i32(1)
            .text(topic)
            .i32(partitions)
            .i16(1)
            .i32(0)
            .i32(i32::try_from(settings.len()).expect("few settings"));
        for (name, value) in settings {
            request = request.text(name).text(value);
        }
        let answer = self.ask(19, 2, request.i32(5000).i8(0)).await;
        let mut answer = Answer(&answer);
        answer.i32();
        for (name, error, words) in answer.array(|topic| (topic.text(), topic.i16(), topic.text())) {
            assert_eq!(error, 0, "{name}: {words}");
        }
        while self.ends_or(topic, partitions).await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where each partition ends (`ListOffsets` 1).
    pub(crate) async fn ends(&mut self, topic: &str, partitions: i32) -> Vec<i64> {
        self.ends_or(topic, partitions).await.expect("a topic with leaders")
    }

    /// Where each partition begins.
    pub(crate) async fn begins(&mut self, topic: &str, partitions: i32) -> Vec<i64> {
        self.listed(topic, partitions, -2).await.expect("a topic with leaders")
    }

    async fn ends_or(&mut self, topic: &str, partitions: i32) -> Option<Vec<i64>> {
        self.listed(topic, partitions, -1).await
    }

    async fn listed(&mut self, topic: &str, partitions: i32, time: i64) -> Option<Vec<i64>> {
        let mut request = Request::default().i32(-1).i32(1).text(topic).i32(partitions);
        for partition in 0..partitions {
            request = request.i32(partition).i64(time);
        }
        let answer = self.ask(2, 1, request).await;
        let mut found = BTreeMap::new();
        let topics = Answer(&answer).array(|topic| {
            topic.text();
            topic.array(|partition| (partition.i32(), partition.i16(), partition.i64(), partition.i64()))
        });
        for (partition, error, _, offset) in topics.into_iter().flatten() {
            if COMING.contains(&error) {
                return None;
            }
            assert_eq!(error, 0, "{topic}[{partition}]");
            found.insert(partition, offset);
        }
        Some(found.into_values().collect())
    }

    /// What a group has committed of each partition (`OffsetFetch` 1); -1 where it has not.
    pub(crate) async fn committed(&mut self, group: &str, topic: &str, partitions: i32) -> Vec<i64> {
        loop {
            let mut request = Request::default().text(group).i32(1).text(topic).i32(partitions);
            for partition in 0..partitions {
                request = request.i32(partition);
            }
            let answer = self.ask(9, 1, request).await;
            let topics = Answer(&answer).array(|topic| {
                topic.text();
                topic.array(|partition| {
                    let (number, offset) = (partition.i32(), partition.i64());
                    partition.text();
                    (number, offset, partition.i16())
                })
            });
            let found: Vec<_> = topics.into_iter().flatten().collect();
            if !found.iter().any(|(_, _, error)| LOADING.contains(error)) {
                assert!(found.iter().all(|(_, _, error)| *error == 0), "{found:?}");
                return found.into_iter().map(|(_, offset, _)| offset).collect();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Commits for a group that has no members (`OffsetCommit` 2). Answers Kafka's error code.
    pub(crate) async fn commit(&mut self, group: &str, topic: &str, partition: i32, offset: i64) -> i16 {
        let request = Request::default().text(group).i32(-1).text("").i64(-1).i32(1).text(topic);
        let answer = self.ask(8, 2, request.i32(1).i32(partition).i64(offset).null_text()).await;
        let topics = Answer(&answer).array(|topic| {
            topic.text();
            topic.array(|partition| (partition.i32(), partition.i16()))
        });
        topics[0][0].1
    }

    /// Removes what stands before an offset, as retention does (`DeleteRecords` 0).
    pub(crate) async fn trim(&mut self, topic: &str, partition: i32, before: i64) {
        let request = Request::default().i32(1).text(topic).i32(1).i32(partition).i64(before).i32(5000);
        let answer = self.ask(21, 0, request).await;
        let mut answer = Answer(&answer);
        answer.i32();
        let topics = answer.array(|topic| {
            topic.text();
            topic.array(|partition| (partition.i32(), partition.i64(), partition.i16()))
        });
        assert_eq!(topics[0][0].2, 0, "{topic}[{partition}]");
    }
}
