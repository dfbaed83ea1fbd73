//! When a provider's "no such machine" is believed (I2): its reads may be behind what it has just made.

use std::time::Duration;

use ringfence::domain::lifecycle::{Moment, Timing};
use ringfence::domain::node::{Call, CallError, Deletion, Effect, Event, Evidence, Instance, InstanceId, Node};
use ringfence_protocol::state::{Isolation, NodeState};
use ringfence_protocol::time::UnixMillis;

const START: UnixMillis = UnixMillis::from_secs(1_800_000_000);

struct Story {
    timing: Timing,
    node: Node,
    secs: u64,
}

impl Story {
    /// A node that is to go, after that many create calls of which the last one was answered.
    fn destroying(creates: u32) -> Self {
        let timing = Timing::default();
        let node = Node::requested(Isolation::User, Evidence::NotNeeded, &moment(&timing, 0));
        let mut story = Self { timing, node, secs: 0 };
        for _ in 1..creates {
            assert!(story.tick().contains(&Effect::Call(Call::Create)));
            story.happens(Event::CreateAnswered(Err(CallError::Unknown)));
            story.secs += 2;
            assert!(story.tick().contains(&Effect::Call(Call::Find)));
            story.happens(Event::FindAnswered(Ok(vec![])));
            story.secs += 4;
        }
        assert!(story.tick().contains(&Effect::Call(Call::Create)));
        story.happens(Event::CreateAnswered(Ok(machine())));
        story.happens(Event::DeleteRequested);
        assert!(story.tick().contains(&Effect::Call(delete())));
        story
    }

    fn happens(&mut self, event: Event) {
        self.node.handle(event, &moment(&self.timing, self.secs)).unwrap();
    }

    fn tick(&mut self) -> Vec<Effect> {
        self.node.handle(Event::Tick, &moment(&self.timing, self.secs)).unwrap()
    }

    fn is_gone(&self) -> bool {
        self.node.word() == NodeState::Gone
    }
}

fn moment(timing: &Timing, secs: u64) -> Moment<'_> {
    Moment { now: START + Duration::from_secs(secs), jitter: 0, timing }
}

fn machine() -> Instance {
    Instance { id: InstanceId("1".into()), ipv4: None, ipv6: None }
}

fn delete() -> Call {
    Call::Delete(InstanceId("1".into()))
}

fn not_found() -> Event {
    Event::DeleteAnswered(InstanceId("1".into()), Ok(Deletion::NotFound))
}

#[test]
fn a_machine_that_was_just_made_is_not_gone_because_it_is_not_shown_yet() {
    let mut story = Story::destroying(1);
    story.happens(not_found());
    assert!(!story.is_gone(), "deleted again and again until reads have settled");
    story.secs = 599;
    assert!(story.tick().contains(&Effect::Call(delete())));
    story.happens(not_found());
    assert!(!story.is_gone());
    assert_eq!(story.node.poll_timeout(&Timing::default()), Some(START + Duration::from_secs(600)), "and not longer");
    story.secs = 600;
    assert!(story.tick().contains(&Effect::Call(delete())));
    story.happens(not_found());
    assert!(story.is_gone());
}

#[test]
fn a_machine_whose_deletion_was_accepted_is_gone_at_its_first_404() {
    let mut story = Story::destroying(1);
    story.happens(Event::DeleteAnswered(InstanceId("1".into()), Ok(Deletion::Accepted)));
    story.happens(Event::GetAnswered(Ok(None)));
    assert!(story.is_gone());
}

#[test]
fn a_create_call_that_may_still_arrive_is_waited_for() {
    let mut story = Story::destroying(2);
    story.happens(Event::DeleteAnswered(InstanceId("1".into()), Ok(Deletion::Accepted)));
    story.happens(Event::GetAnswered(Ok(None)));
    assert!(!story.is_gone(), "the first call's answer was lost, and its machine would have another id");
    story.secs += 60;
    assert!(story.tick().contains(&Effect::Call(Call::Find)));
    story.happens(Event::FindAnswered(Ok(vec![])));
    assert!(!story.is_gone());
    story.secs = 700;
    assert!(story.tick().contains(&Effect::Call(Call::Find)));
    story.happens(Event::FindAnswered(Ok(vec![])));
    assert!(story.is_gone());
}

#[test]
fn of_two_create_calls_the_others_machine_may_be_what_is_left() {
    let mut story = Story::destroying(2);
    story.happens(Event::DeleteAnswered(InstanceId("1".into()), Ok(Deletion::Accepted)));
    // Long after both calls: somebody had deleted the second's machine, and the first's got its name.
    story.secs = 3600;
    story.happens(Event::GetAnswered(Ok(None)));
    assert!(!story.is_gone());
    assert!(story.tick().contains(&Effect::Call(Call::Find)), "one look by the label, at once");
    let left = InstanceId("2".into());
    story.happens(Event::FindAnswered(Ok(vec![Instance { id: left.clone(), ipv4: None, ipv6: None }])));
    assert!(story.tick().contains(&Effect::Call(Call::Delete(left))));
}

#[test]
fn lists_settle_from_the_last_create_call_and_not_from_the_first() {
    let timing = Timing::default();
    let node = Node::requested(Isolation::User, Evidence::NotNeeded, &moment(&timing, 0));
    let mut story = Story { timing, node, secs: 0 };
    for secs in [0, 100] {
        story.secs = secs;
        assert!(story.tick().contains(&Effect::Call(Call::Create)));
        story.happens(Event::CreateAnswered(Err(CallError::Unknown)));
        story.secs += 50;
        assert!(story.tick().contains(&Effect::Call(Call::Find)));
        story.happens(Event::FindAnswered(Ok(vec![])));
    }
    story.happens(Event::DeleteRequested);
    for (secs, gone) in [(599, false), (650, false), (699, false), (700, true)] {
        story.secs = secs;
        assert!(story.tick().contains(&Effect::Call(Call::Find)));
        story.happens(Event::FindAnswered(Ok(vec![])));
        assert_eq!(story.is_gone(), gone, "{secs} s after the first call, {} s after the last", secs - 100);
    }
}

#[test]
fn a_second_machine_of_a_node_is_deleted_whenever_it_is_found() {
    let other = InstanceId("2".into());
    let second = || Instance { id: other.clone(), ipv4: None, ipv6: None };
    let mut story = Story::destroying(2);
    let effects =
        story.node.handle(Event::FindAnswered(Ok(vec![machine(), second()])), &moment(&story.timing, story.secs));
    assert!(effects.unwrap().contains(&Effect::Call(Call::Delete(other.clone()))));
    assert_eq!(story.node.instance, Some(machine()), "its own stays its own");
    story.happens(Event::DeleteAnswered(InstanceId("1".into()), Ok(Deletion::Accepted)));
    story.secs = 700;
    story.happens(Event::GetAnswered(Ok(None)));
    assert!(story.tick().contains(&Effect::Call(Call::Find)));
    story.happens(Event::FindAnswered(Ok(vec![])));
    assert!(story.is_gone());
    let effects = story.node.handle(Event::FindAnswered(Ok(vec![second()])), &moment(&story.timing, story.secs));
    assert!(effects.unwrap().contains(&Effect::Call(Call::Delete(other))), "also when the node is gone");
}

#[test]
fn what_could_not_be_asked_of_the_provider_in_time_is_not_asked_late() {
    let timing = Timing::default();
    let node = Node::requested(Isolation::User, Evidence::NotNeeded, &moment(&timing, 0));
    let mut story = Story { timing, node, secs: timing.requested.as_secs() };
    let effects = story.tick();
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Call(_))), "{effects:?}");
    assert_eq!((story.node.word(), story.node.create_attempts), (NodeState::Failed, 0));
}
