//! What is assigned to us, and what is taken from us: drained within a bound, committed, given back. Meanwhile all else is read on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};

use super::{
    consumer::{ask, bare, begin, watermarks},
    events::{Events, Rebalance},
    handover::Leaving,
    partition::Partition,
    reader::{Assigned, Reader, find},
};
use crate::broker::kafka::{fault::Fault, origin::Beginning};

/// What is in flight of a partition that is taken from us may settle for so long; what has not, comes again at its next reader.
const DRAIN: Duration = Duration::from_secs(5);

/// And then has so long to be withdrawn, and what settled to be committed.
const WITHDRAWN: Duration = Duration::from_secs(1);

/// Partitions on their way back to the group.
pub(super) struct Returning {
    /// As it was taken from us, and as it must be answered.
    list: TopicPartitionList,
    /// What they are here.
    partitions: Vec<Arc<Partition>>,
    /// Until when they may settle; no longer once all are released.
    until: Instant,
}

impl Returning {
    /// Gives them back as they are.
    pub(super) fn answer(self, consumer: &BaseConsumer<Events>) {
        Rebalance::Revoked(self.list).answer(consumer);
    }
}

impl Reader {
    /// Follows the group: one step at a time, never waiting.
    pub(super) fn rebalance(&mut self) -> Result<(), Fault> {
        if self.returning.is_some() {
            self.give_back()?;
        }
        while self.returning.is_none() {
            let Some(rebalance) = self.consumer.context().rebalance() else { return Ok(()) };
            match rebalance {
                Rebalance::Assigned(list) => self.assigned(&list)?,
                Rebalance::Revoked(list) => self.revoked(list),
                Rebalance::Lost(list) => self.lost(&list)?,
            }
            self.membership.renew(self.consumer.group_metadata());
            self.tell_state();
        }
        Ok(())
    }

    pub(super) fn subscribe(&mut self) -> Result<(), Fault> {
        if self.plan.tail {
            return self.assign_all();
        }
        let topics = self.plan.topics.subscription();
        let topics: Vec<&str> = topics.iter().map(AsRef::as_ref).collect();
        self.consumer.subscribe(&topics).map_err(|error| Fault::of(&error).while_doing("subscribing"))
    }

    /// A reader without a group: every partition there is, at its end.
    fn assign_all(&mut self) -> Result<(), Fault> {
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in self.plan.known() {
            for number in 0..partitions {
                let (_, end) = watermarks(&self.consumer, &self.handover, &topic, number)?;
                list.add_partition_offset(&topic, number, Offset::Offset(end)).map_err(|error| Fault::of(&error))?;
            }
        }
        self.consumer.assign(&list).map_err(|error| Fault::of(&error).while_doing("assigning"))?;
        self.take_in(&list);
        self.tell_state();
        Ok(())
    }

    /// Partitions are ours: from where the group left off, or from where the source begins, which is committed before anything is
    /// read, so that a crash before the first settlement repeats and skips nothing.
    fn assigned(&mut self, list: &TopicPartitionList) -> Result<(), Fault> {
        let begun = self.positions(list);
        // Answered in any case: librdkafka waits for it even when this incarnation ends.
        let answered = self.consumer.incremental_assign(begun.as_ref().unwrap_or(list));
        let begun = begun?;
        answered.map_err(|error| Fault::of(&error).while_doing("taking partitions"))?;
        self.take_in(&begun);
        if self.paused {
            // What came in is not paused yet.
            self.paused = false;
            self.pause();
        }
        Ok(())
    }

    fn take_in(&mut self, list: &TopicPartitionList) {
        let before = self.assigned.len();
        for element in list.elements() {
            let Offset::Offset(start) = element.offset() else { continue };
            let partition = Partition::new(element.topic().into(), element.partition(), start, Arc::clone(&self.membership));
            self.assigned.push(Assigned::new(partition));
        }
        self.commits.watch(self.assigned[before..].iter().map(|one| &one.partition));
        self.assigned.sort_by(|one, other| {
            (&*one.partition.topic, one.partition.number).cmp(&(&*other.partition.topic, other.partition.number))
        });
    }

    /// Where each partition is read from.
    fn positions(&self, list: &TopicPartitionList) -> Result<TopicPartitionList, Fault> {
        if list.count() == 0 {
            return Ok(list.clone());
        }
        let committed = |wait| self.consumer.committed_offsets(bare(list), wait);
        let mut begun = ask(&self.handover, "the group's offsets", committed)?;
        let mut fresh = TopicPartitionList::new();
        for element in begun.elements() {
            element.error().map_err(|error| Fault::of(&error).while_doing(format_args!("offsets of {}", element.topic())))?;
            if !matches!(element.offset(), Offset::Offset(_)) {
                let offset = self.beginning(element.topic(), element.partition())?;
                let added = fresh.add_partition_offset(element.topic(), element.partition(), Offset::Offset(offset));
                added.map_err(|error| Fault::of(&error))?;
            }
        }
        if fresh.count() > 0 {
            begin(&self.consumer, &self.handover, &fresh)?;
            for element in fresh.elements() {
                let set = begun.set_partition_offset(element.topic(), element.partition(), element.offset());
                set.map_err(|error| Fault::of(&error))?;
            }
        }
        Ok(begun)
    }

    /// Where the group begins a partition that it never committed. One that was not there when this process began to read is read
    /// from its beginning, whatever `start` says: all that is in it came after.
    fn beginning(&self, topic: &str, partition: i32) -> Result<i64, Fault> {
        let (low, high) = watermarks(&self.consumer, &self.handover, topic, partition)?;
        let is_new = !self.plan.knows(topic, partition);
        Ok(if self.plan.start == Beginning::Earliest || is_new { low } else { high })
    }

    /// Partitions are to be given back: nothing more of them is offered.
    fn revoked(&mut self, list: TopicPartitionList) {
        let until = Instant::now() + DRAIN;
        let partitions = self.leave(&list, Some(until));
        self.returning = Some(Returning { list, partitions, until });
    }

    /// Tells the pipeline's side.
    fn leave(&self, list: &TopicPartitionList, until: Option<Instant>) -> Vec<Arc<Partition>> {
        let elements = list.elements();
        let found = elements.iter().filter_map(|element| find(&self.assigned, 0, element.topic(), element.partition()));
        let partitions: Vec<_> = found.map(|at| Arc::clone(&self.assigned[at].partition)).collect();
        self.handover.leave(partitions.iter().map(|partition| Leaving { partition: Arc::clone(partition), until }));
        partitions
    }

    /// Once nothing of them is in flight and the group has all that settled, or the time is over: gives them back. librdkafka tells the
    /// group that they are free when the last commit is answered, so that none comes after another reader's.
    fn give_back(&mut self) -> Result<(), Fault> {
        let (commits, waits) = (&self.commits, self.plan.commits());
        let over = |returning: &mut Returning| {
            let released = returning.partitions.iter().all(|partition| partition.is_released());
            let told = !waits || returning.partitions.iter().all(|partition| partition.is_told());
            if released && !told {
                commits.want();
            }
            // The pipeline's side withdraws at the same time: it gets a moment for it.
            released && told || Instant::now() >= returning.until + WITHDRAWN
        };
        let Some(returning) = self.returning.take_if(over) else { return Ok(()) };
        self.let_go(&returning.list)?;
        self.membership.renew(self.consumer.group_metadata());
        self.tell_state();
        Ok(())
    }

    /// Somebody else reads them already: what is in flight is withdrawn, and nothing is committed.
    fn lost(&mut self, list: &TopicPartitionList) -> Result<(), Fault> {
        tracing::warn!(partitions = list.count(), "the group gave our partitions to others: what was unsettled comes again there");
        self.leave(list, None);
        self.let_go(list)
    }

    fn let_go(&mut self, list: &TopicPartitionList) -> Result<(), Fault> {
        let going = list.to_topic_map();
        let goes = |one: &mut Assigned| going.contains_key(&(one.partition.topic.to_string(), one.partition.number));
        let gone: Vec<_> = self.assigned.extract_if(.., goes).map(|one| one.partition).collect();
        if let Some(relay) = &self.plan.relay {
            for partition in &gone {
                relay.release(partition);
            }
        }
        self.commits.forget(&gone);
        // librdkafka keeps a partition paused over its next assignment, where nobody would resume it.
        self.consumer.resume(list).map_err(|error| Fault::of(&error).while_doing("giving partitions back"))?;
        self.consumer.incremental_unassign(list).map_err(|error| Fault::of(&error).while_doing("giving partitions back"))
    }
}
