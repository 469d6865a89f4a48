//! The router of one source.

use std::{collections::HashMap, sync::Arc};

use super::{
    Candidate, Context, Copy, DeadLetterLane, DeadLetterTo, Death, Destination, Fields, Idle, LaneId, Route, Routed, SourceContext,
    Span, Template, Unrouted, candidates::Candidates, jq::Transformed, tree::Tree,
};
use crate::{
    envelope::{Message, RawMessage, Rejection, Rewrite, Undecoded, decode},
    outcome::{Reason, Refusal},
    written::AddressRule,
};

/// Bridges that a message may come through; one more is a cycle of routes.
const HOPS_MAX: u32 = 8;
/// The longest ordering key, in bytes: keys are kept as long as something waits behind them.
const KEY_BYTES_MAX: usize = 8 * 1024;

/// Decodes and routes the messages of one source.
#[derive(Debug, Clone)]
pub struct Router {
    source: Arc<SourceContext>,
    routes: Arc<[Route]>,
    graves: Arc<HashMap<LaneId, DeadLetterLane>>,
    candidates: Candidates,
}

/// The globs of all routes together are too much for one automaton.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the globs of these routes are too large to be matched together: {0}")]
pub struct GlobsTooLarge(String);

/// A dead letter as rendered.
#[derive(Debug, Clone)]
pub struct Buried {
    /// The dead-letter lane's address.
    pub address: String,
    /// The rendered fields of its target, in the target's order.
    pub fields: Box<[Option<String>]>,
    /// The message with all the headers it came with, where an ordinary copy goes without some of them.
    pub received: Option<Arc<Message>>,
}

impl Router {
    /// A router for one source. Every lane that a `dead_letter` names must be among `graves`.
    pub fn new(source: SourceContext, routes: Vec<Route>, graves: Vec<DeadLetterLane>) -> Result<Self, GlobsTooLarge> {
        let candidates = Candidates::new(&routes).map_err(|error| GlobsTooLarge(error.to_string()))?;
        let graves = graves.into_iter().map(|grave| (grave.lane, grave)).collect();
        Ok(Self { source: Arc::new(source), routes: routes.into(), graves: Arc::new(graves), candidates })
    }

    /// Its source.
    pub fn source(&self) -> &SourceContext {
        &self.source
    }

    /// The routes that can concern a message of this type and name.
    pub fn candidates(&mut self, message_type: &str, name: &str) -> Arc<[Candidate]> {
        self.candidates.of(message_type, name)
    }

    /// Decodes one message, routes it and appends it with its copies. `now_ms` is the wall clock, in milliseconds since the Unix
    /// epoch.
    pub fn admit(&mut self, raw: RawMessage, now_ms: i64, into: &mut Routed) {
        let index = into.messages.len() as u32;
        match self.accept(raw, now_ms) {
            Ok(message) => {
                message.raw().carrier.identified(message.id());
                let candidates = self.candidates.of(message.message_type(), message.name());
                let mut case = Case { router: self, message: &message, index, now_ms, into, taken: false };
                case.route(&candidates);
                into.messages.push(message);
            }
            Err(undecoded) => {
                let Undecoded { message, rejection } = *undecoded;
                message.raw().carrier.identified(message.id());
                let mut case = Case { router: self, message: &message, index, now_ms, into, taken: false };
                case.give_up(rejection);
                into.messages.push(message);
            }
        }
    }

    /// Renders the address of a dead-letter lane for a message that failed in delivery.
    pub fn bury(&self, lane: LaneId, message: &Message) -> Result<Buried, Rejection> {
        let mut out = Routed::default();
        let (address, fields) = self.grave(lane, message, &mut out)?;
        let fields = fields.iter().map(|field| field.as_ref().map(|span| out.text(span).to_owned())).collect();
        Ok(Buried { address: out.text(&address).to_owned(), fields, received: received(message) })
    }

    fn grave(&self, lane: LaneId, message: &Message, into: &mut Routed) -> Result<(Span, Fields), Rejection> {
        let Some(grave) = self.graves.get(&lane) else {
            return Err(Rejection::new(Reason::Address, "the dead letter has no lane"));
        };
        let context = Context { message, source: &self.source };
        let mut pen = Pen { context, into };
        let address = pen.write(|context, out| grave.address.render(context, Some(&grave.rule), out))?;
        Ok((address, pen.fields(&grave.fields)?))
    }

    /// A message that may be routed.
    fn accept(&self, raw: RawMessage, now_ms: i64) -> Result<Message, Box<Undecoded>> {
        let message = decode(raw, &self.source.decode, now_ms)?;
        if message.hops() > HOPS_MAX {
            let detail = format!("it came through {} bridges, more than {HOPS_MAX}: a cycle of routes?", message.hops());
            return Err(Box::new(Undecoded { message, rejection: Rejection::new(Reason::Hops, detail) }));
        }
        match &self.source.event {
            Some(_) if message.is_bare() => self.named(message),
            _ => Ok(message),
        }
    }

    /// A bare payload with what `event:` calls it.
    fn named(&self, message: Message) -> Result<Message, Box<Undecoded>> {
        let Some(rules) = &self.source.event else { return Ok(message) };
        let context = Context { message: &message, source: &self.source };
        let text = |template: &Option<Template>| -> Result<Option<Arc<str>>, Rejection> {
            let Some(template) = template else { return Ok(None) };
            let mut out = String::new();
            template.render(&context, None, &mut out)?;
            Ok(Some(out.into()))
        };
        let rewrite = || {
            Ok(Rewrite {
                message_type: text(&rules.message_type)?,
                name: text(&rules.message_name)?,
                id: text(&rules.message_id)?,
                payload: None,
            })
        };
        match rewrite() {
            Ok(rewrite) => Ok(message.rewritten(rewrite)),
            Err(rejection) => Err(Box::new(Undecoded { message, rejection })),
        }
    }
}

/// One message on its way through the routes.
struct Case<'a> {
    router: &'a Router,
    message: &'a Message,
    index: u32,
    now_ms: i64,
    into: &'a mut Routed,
    /// A route took it, whatever came of that.
    taken: bool,
}

impl Case<'_> {
    fn route(&mut self, candidates: &[Candidate]) {
        let (copies, aside) = (self.into.copies.len(), self.into.aside.len());
        let tree = Tree::of(self.message);
        for candidate in candidates {
            let route = &self.router.routes[candidate.route as usize];
            if route.matcher.as_ref().is_none_or(|matcher| matcher.takes(self.message, &self.router.source.source)) {
                self.taken = true;
                self.walk(route, candidate, &tree);
            }
        }
        if self.into.copies.len() > copies {
            return;
        }
        let idle = match self.into.aside.get(aside..).unwrap_or_default().first() {
            Some((_, _, idle)) => idle.clone(),
            None if self.taken => Idle::Filtered,
            None => return self.unrouted(),
        };
        self.into.idle.push((self.index, idle));
    }

    /// One route that takes the message.
    fn walk(&mut self, route: &Route, candidate: &Candidate, tree: &Tree<'_>) {
        match transform(route, tree) {
            Ok(Transformed::Filtered) => {}
            Ok(Transformed::Unchanged) => {
                for &index in &candidate.destinations {
                    self.visit(route, &route.destinations[index as usize], tree, None);
                }
            }
            Ok(Transformed::Changed(message)) => {
                let tree = Tree::of(&message);
                // Type and name may be others now, so what the candidates knew of the destinations is void.
                for destination in &route.destinations {
                    if destination.matcher.as_ref().is_none_or(|matcher| matcher.names(&message)) {
                        self.visit(route, destination, &tree, Some(&message));
                    }
                }
            }
            Err(rejection) => {
                // The route failed as a whole: one dead letter for each place it would have gone to, at most one a lane.
                let mut told = Vec::new();
                for destination in &route.destinations {
                    if !told.contains(&&destination.dead_letter) {
                        told.push(&destination.dead_letter);
                        self.reject(route, destination, rejection.clone());
                    }
                }
            }
        }
    }

    /// One destination of a route.
    fn visit(&mut self, route: &Route, destination: &Destination, tree: &Tree<'_>, transformed: Option<&Arc<Message>>) {
        let source = &self.router.source.source;
        if destination.matcher.as_ref().is_some_and(|matcher| !matcher.takes(tree.message, source)) {
            return;
        }
        let start = self.into.arena.len();
        let holds = destination.when.as_ref().map_or(Ok(true), |when| when.holds(tree));
        let copy = holds.and_then(|holds| if holds { self.copy(route, destination, tree.message).map(Some) } else { Ok(None) });
        match copy {
            Ok(Some(mut copy)) => {
                copy.transformed = transformed.cloned();
                self.into.copies.push(copy);
            }
            Ok(None) => {}
            Err(rejection) => {
                self.into.arena.truncate(start);
                self.reject(route, destination, rejection);
            }
        }
    }

    fn copy(&mut self, route: &Route, destination: &Destination, message: &Message) -> Result<Copy, Rejection> {
        let mut pen = Pen { context: Context { message, source: &self.router.source }, into: self.into };
        let address = pen.write(|context, out| destination.address.render(context, Some(&destination.rule), out))?;
        if let Some(allow) = &destination.allow
            && !allow.is_match(pen.into.text(&address))
        {
            let text = pen.into.text(&address);
            return Err(Rejection::new(Reason::Address, format!("`{}` is outside what `allow` allows", text.escape_debug())));
        }
        let key = match destination.key.as_ref().or(route.key.as_ref()) {
            Some(template) => pen.write(|context, out| template.render(context, None, out))?,
            None => pen.own_key(),
        };
        if key.len() > KEY_BYTES_MAX {
            return Err(Rejection::new(
                Reason::Address,
                format!("an ordering key of {} bytes, more than {KEY_BYTES_MAX}", key.len()),
            ));
        }
        let fields = pen.fields(&destination.fields)?;
        let headers = destination.headers.iter();
        let headers =
            headers.map(|(name, template)| Ok((Arc::clone(name), pen.write(|context, out| template.render(context, None, out))?)));
        let headers = headers.collect::<Result<_, Rejection>>()?;
        Ok(Copy { message: self.index, lane: destination.lane, address, key, fields, headers, transformed: None, death: None })
    }

    /// Buries one copy: no legal address, or a program that failed.
    fn reject(&mut self, route: &Route, destination: &Destination, rejection: Rejection) {
        let death = self.death(&route.name, &destination.name, rejection);
        if let Err(idle) = self.bury(&destination.dead_letter, death) {
            self.into.aside.push((self.index, destination.lane, idle));
        }
    }

    /// Buries the whole message.
    fn give_up(&mut self, rejection: Rejection) {
        let death = self.death("", "", rejection);
        if let Err(idle) = self.bury(&self.router.source.dead_letter, death) {
            self.into.idle.push((self.index, idle));
        }
    }

    fn unrouted(&mut self) {
        match self.router.source.unrouted {
            Unrouted::Ack => self.into.idle.push((self.index, Idle::Unrouted)),
            Unrouted::Reject => {
                let rejection = self.unmatched();
                self.into.idle.push((self.index, Idle::Rejected(Arc::new(rejection.into()))));
            }
            Unrouted::DeadLetter => self.give_up(self.unmatched()),
        }
    }

    fn unmatched(&self) -> Rejection {
        let (message_type, name) = (self.message.message_type().escape_debug(), self.message.name().escape_debug());
        Rejection::new(Reason::Unrouted, format!("no route matched `{message_type}` `{name}`"))
    }

    /// A copy for the dead letter; where that is no lane, what becomes of the message instead.
    fn bury(&mut self, to: &DeadLetterTo, death: Death) -> Result<(), Idle> {
        let rejected = |death: &Death| Idle::Rejected(Arc::new(Refusal::new(death.reason, death.error.clone())));
        let lane = match to {
            DeadLetterTo::Lane(lane) => *lane,
            DeadLetterTo::Native => return Err(rejected(&death)),
            DeadLetterTo::Drop => return Err(Idle::Dropped(death.reason)),
        };
        // The configuration lets only constant addresses be dead letters, so that this cannot fail; if it did, the source's broker
        // would get the message back.
        let (address, fields) = self.router.grave(lane, self.message, self.into).map_err(|_| rejected(&death))?;
        let key = Pen { context: Context { message: self.message, source: &self.router.source }, into: self.into }.own_key();
        let (headers, transformed, death) = (Box::default(), received(self.message), Some(Arc::new(death)));
        self.into.copies.push(Copy { message: self.index, lane, address, key, fields, headers, transformed, death });
        Ok(())
    }

    fn death(&self, route: &str, destination: &str, rejection: Rejection) -> Death {
        Death {
            route: route.to_owned(),
            source: self.router.source.source.to_string(),
            destination: destination.to_owned(),
            reason: rejection.reason,
            error: rejection.detail,
            attempts: 0,
            first_failed_at: self.now_ms,
            last_failed_at: self.now_ms,
            original_address: String::new(),
            original_position: self.message.raw().carrier.position().unwrap_or_default(),
        }
    }
}

fn transform(route: &Route, tree: &Tree<'_>) -> Result<Transformed, Rejection> {
    if let Some(when) = &route.when
        && !when.holds(tree)?
    {
        return Ok(Transformed::Filtered);
    }
    route.transform.as_ref().map_or(Ok(Transformed::Unchanged), |transform| transform.transform(tree))
}

/// The message with all its headers, for a dead letter that would else go without some.
fn received(message: &Message) -> Option<Arc<Message>> {
    message.withholds_headers().then(|| Arc::new(message.as_received()))
}

/// Writes templates into the arena.
struct Pen<'a> {
    context: Context<'a>,
    into: &'a mut Routed,
}

impl Pen<'_> {
    fn write(&mut self, render: impl FnOnce(&Context<'_>, &mut String) -> Result<(), Rejection>) -> Result<Span, Rejection> {
        let start = self.into.arena.len() as u32;
        render(&self.context, &mut self.into.arena)?;
        Ok(start..self.into.arena.len() as u32)
    }

    /// The message's own key; empty where it has none.
    fn own_key(&mut self) -> Span {
        let start = self.into.arena.len() as u32;
        if let Some(key) = self.context.message.key() {
            self.into.arena.push_str(&key);
        }
        start..self.into.arena.len() as u32
    }

    /// A target's further templates: one with a rule is an address and must have a value, the others may be absent.
    fn fields(&mut self, fields: &[(Template, Option<AddressRule>)]) -> Result<Fields, Rejection> {
        let one = |(template, rule): &(Template, Option<AddressRule>)| {
            if let Some(rule) = rule {
                return self.write(|context, out| template.render(context, Some(rule), out)).map(Some);
            }
            let start = self.into.arena.len() as u32;
            let known = template.render_known(&self.context, &mut self.into.arena);
            Ok(known.then_some(start..self.into.arena.len() as u32))
        };
        fields.iter().map(one).collect()
    }
}
