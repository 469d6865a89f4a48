//! The broker of [`super::Memory`]: its kind, its places.

use std::{any::Any, sync::Arc};

use async_trait::async_trait;

use super::{memory::Shared, publisher::MemoryPublisher, source::MemorySource};
use crate::{
    broker::{
        AddressRule, Broker, House, InFlight, Kind, LinkKey, OpenError, Origin, Part, Probe, Promises, Publisher, Source, Target,
        TemplateText,
    },
    outcome::Reason,
    written::{Node, Problems},
};

/// Not one of [`crate::broker::KINDS`]: only a program brings it.
static KIND: Kind = Kind {
    name: "memory",
    schemes: &[],
    given: None,
    headers_key: None,
    attribute_prefix: "",
    promises: Promises {
        source: true,
        publisher: true,
        redelivers: true,
        ordered: true,
        headers: true,
        network: false,
        places: true,
        message_bytes_max: u32::MAX as usize,
    },
    schema: |_: Part, _| schemars::json_schema!({ "type": "object" }),
    read: |_, node, faults| {
        faults.fault(node.at(), "a broker in memory is for tests: `Bridge::builder().broker(NAME, memory.broker())`");
        None
    },
};

/// A queue's name.
const RULE: AddressRule = AddressRule { bytes_max: 255, forbidden: char::is_control, name: "a queue in memory", encode: None };

#[derive(Debug)]
pub(super) struct MemoryBroker {
    shared: Arc<Shared>,
    /// Brokers of one [`super::Memory`] are told apart by nothing; those of two by this.
    link: LinkKey,
}

impl MemoryBroker {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let part = format!("{:p}", Arc::as_ptr(&shared)).into();
        Self { shared, link: LinkKey { broker: KIND.name.into(), part } }
    }
}

/// The name of a queue: the short form, or the key `queue`.
fn queue(written: &Node, faults: &mut Problems) -> Option<TemplateText> {
    let (text, at) = match written.text() {
        Some(text) => (text.to_owned(), written.at()),
        None => (written.need("queue", faults)?, written.child("queue").unwrap_or(written).at()),
    };
    Some(TemplateText { text, at: at.clone() })
}

/// What cannot be reached.
pub(super) fn down() -> OpenError {
    OpenError { reason: Reason::Link, detail: "the memory is cut".into() }
}

#[async_trait]
impl Broker for MemoryBroker {
    fn kind(&self) -> &'static Kind {
        &KIND
    }
    fn display(&self) -> String {
        "memory of this process".into()
    }
    fn origin(&self, written: &Node, faults: &mut Problems) -> Option<Arc<dyn Origin>> {
        let queue = queue(written, faults)?.text;
        let inlet = self.target(written, faults)?;
        Some(Arc::new(MemoryOrigin { shared: self.shared.clone(), address: format!("memory/{queue}"), queue, inlet }))
    }
    fn target(&self, written: &Node, faults: &mut Problems) -> Option<Target> {
        Some(Target {
            link: self.link.clone(),
            address: queue(written, faults)?,
            rule: RULE,
            fields: Vec::new(),
            options: Arc::new(()),
            in_flight: InFlight { batches: 8, messages: 512, batch_messages: 64 },
        })
    }
    async fn link(&self, _: &LinkKey, _: &House) -> Result<Box<dyn Publisher>, OpenError> {
        Ok(Box::new(MemoryPublisher::open(self.shared.clone())?))
    }
    fn tap(&self, target: &Target) -> Result<Arc<dyn Origin>, String> {
        Err(format!("`{}` is in memory: `Memory::published` shows what came there", target.address.text))
    }
    async fn probe(&self, _: &Probe<'_>, _: &House) -> Vec<String> {
        let cut = self.shared.with(|state| state.cut);
        if cut { vec![down().detail] } else { Vec::new() }
    }
}

#[derive(Debug)]
struct MemoryOrigin {
    shared: Arc<Shared>,
    queue: String,
    address: String,
    inlet: Target,
}

#[async_trait]
impl Origin for MemoryOrigin {
    fn display(&self) -> String {
        format!("the queue {} in memory", self.queue)
    }
    fn address(&self) -> &str {
        &self.address
    }
    fn holds(&self) -> bool {
        true
    }
    fn rejects_natively(&self) -> bool {
        true
    }
    async fn open(&self, _: &House) -> Result<Box<dyn Source>, OpenError> {
        Ok(Box::new(MemorySource::open(self.shared.clone(), self.queue.clone())?))
    }
    fn inlet(&self) -> Option<Target> {
        Some(self.inlet.clone())
    }
    fn reads(&self, target: &Target) -> bool {
        target.is_same_place(&self.inlet)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
