//! The core against a model of its viewers, and the cases that have names.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use ringfence_protocol::ids::ViewerId;
use ringfence_protocol::link::{ChannelId, CloseReason};
use ringfence_protocol::terminal::{AgentFrame, Exit, MAX_DATA_BYTES, RING_BYTES, ViewerFrame, WINDOW_BYTES};

use super::core::{Attachment, Core, MAX_VIEWERS, Transmit};
use super::pace::PATIENCE;
use super::viewer::{INPUT_ACK_DELAY, STALL};

const EPOCH: u64 = 7;
const SIZE: (u16, u16) = (80, 24);

/// The byte at an offset of the endless output that the tests' terminal puts out.
fn byte_at(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

fn viewer_id(n: u32) -> ViewerId {
    ViewerId::from_entropy([n as u8; 13])
}

fn attachment(channel: u32) -> Attachment {
    Attachment {
        channel: ChannelId(channel),
        viewer: viewer_id(channel),
        read_only: false,
        cells: SIZE,
        epoch: 0,
        offset: 0,
    }
}

/// A viewer that checks everything it is sent.
#[derive(Default)]
struct Model {
    opened: bool,
    epoch: u64,
    offset: u64,
    acknowledged: u64,
    /// What was received and not acknowledged: offset and length.
    outstanding: Vec<(u64, u64)>,
    resets: u32,
    closed: Option<CloseReason>,
    exit: Option<Exit>,
    sizes: Vec<(u16, u16)>,
    input_acknowledged: u64,
}

impl Model {
    fn receive(&mut self, frame: &[u8]) {
        match AgentFrame::decode(frame).unwrap() {
            AgentFrame::Opened(opened) => {
                assert!(!self.opened, "opened twice");
                self.opened = true;
                self.epoch = opened.epoch;
                self.input_acknowledged = opened.input_offset;
            }
            AgentFrame::Output { offset, bytes } => {
                assert!(self.opened);
                assert_eq!(offset, self.offset, "a gap or a repetition");
                let right = (offset..).zip(bytes).all(|(at, byte)| byte_at(at) == *byte);
                assert!(right, "wrong bytes");
                self.offset += bytes.len() as u64;
                self.outstanding.push((offset, bytes.len() as u64));
                let on_the_way: u64 = self.outstanding.iter().map(|(_, length)| length).sum();
                assert!(on_the_way <= WINDOW_BYTES, "more than a window");
            }
            AgentFrame::Reset { offset } => {
                assert!(self.opened);
                assert!(offset >= self.offset || self.resets == 0, "a reset goes forward");
                self.resets += 1;
                self.offset = offset;
            }
            AgentFrame::InputAck { offset } => self.input_acknowledged = offset,
            AgentFrame::Exited(exit) => self.exit = Some(exit),
            AgentFrame::Size { cols, rows } => self.sizes.push((cols, rows)),
        }
    }

    fn acknowledge(&mut self, offset: u64) {
        self.acknowledged = self.acknowledged.max(offset);
        let acknowledged = self.acknowledged;
        for (start, length) in &mut self.outstanding {
            let end = *start + *length;
            *start = acknowledged.clamp(*start, end);
            *length = end - *start;
        }
        self.outstanding.retain(|(_, length)| *length > 0);
    }
}

/// A core, its viewers and the time.
struct World {
    core: Core,
    viewers: BTreeMap<u32, Model>,
    put_out: u64,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self { core: Core::new(EPOCH, true, SIZE), viewers: BTreeMap::new(), put_out: 0, now: Instant::now() }
    }

    /// Puts out as much as may be read, at most this much.
    fn output(&mut self, most: u64) -> u64 {
        let count = most.min(self.core.allowance(self.now));
        let bytes: Vec<u8> = (self.put_out..self.put_out + count).map(byte_at).collect();
        self.core.output(&bytes, self.now);
        self.put_out += count;
        count
    }

    fn attach(&mut self, channel: u32) {
        let mut model = Model::default();
        let mut wish = attachment(channel);
        if let Some(before) = self.viewers.remove(&channel) {
            self.core.detach(ChannelId(channel));
            (wish.epoch, wish.offset) = (before.epoch, before.offset);
            model.epoch = before.epoch;
            model.offset = before.offset;
            model.resets = before.resets;
            model.acknowledged = before.offset;
        }
        self.core.attach(wish, self.now);
        self.viewers.insert(channel, model);
    }

    fn transmit(&mut self, most: usize) {
        for _ in 0..most {
            match self.core.transmit(self.now) {
                Some(Transmit::Frame(channel, frame)) => {
                    self.viewers.get_mut(&channel.0).unwrap().receive(&frame);
                }
                Some(Transmit::Closed(channel, reason)) => {
                    self.viewers.get_mut(&channel.0).unwrap().closed = Some(reason);
                }
                None => {
                    assert!(!self.core.has_something_to_send(self.now));
                    return;
                }
            }
        }
    }

    fn acknowledge(&mut self, channel: u32) {
        if let Some(model) = self.viewers.get_mut(&channel).filter(|model| model.opened) {
            let offset = model.offset;
            model.acknowledge(offset);
            let frame = ViewerFrame::Ack { offset }.encode();
            self.core.frame(ChannelId(channel), &frame, self.now);
        }
    }

    /// Viewer 1 gets everything there is.
    fn serve_first(&mut self) {
        self.core.tick(self.now + PATIENCE);
        for _ in 0..1 + RING_BYTES as u64 / WINDOW_BYTES {
            self.transmit(usize::MAX);
            self.acknowledge(1);
        }
    }

    fn type_bytes(&mut self, channel: u32, offset: u64, bytes: &[u8]) {
        let frame = ViewerFrame::Input { offset, bytes }.encode();
        self.core.frame(ChannelId(channel), &frame, self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.core.tick(self.now);
    }

    fn open(&mut self, channel: u32) {
        self.attach(channel);
        self.transmit(usize::MAX);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Output(u64),
    Transmit(usize),
    Acknowledge(u32),
    Reconnect(u32),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..200_000_u64).prop_map(Step::Output),
        4 => (1..40_usize).prop_map(Step::Transmit),
        3 => (2..5_u32).prop_map(Step::Acknowledge),
        1 => (1..5_u32).prop_map(Step::Reconnect),
        2 => (0..900_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Viewer 1 acknowledges everything it gets, at once; the others when it pleases them. All of them see every byte once and in
    /// order or are told of the gap; viewer 1 never has one.
    #[test]
    fn every_viewer_sees_each_byte_once_or_is_told_of_the_gap(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        world.attach(1);
        for step in steps {
            match step {
                Step::Output(count) => { world.output(count); }
                Step::Transmit(count) => world.transmit(count),
                Step::Acknowledge(channel) => {
                    // Viewer 1 stays the fastest: nobody has acknowledged more.
                    world.serve_first();
                    world.acknowledge(channel);
                }
                Step::Reconnect(channel) => {
                    world.serve_first();
                    world.attach(channel);
                }
                Step::Pass(ms) => {
                    // What is due is sent before time passes: the queue to the link is never full here.
                    world.serve_first();
                    world.pass(Duration::from_millis(ms));
                }
            }
            world.acknowledge(1);
        }
        world.pass(PATIENCE);
        // Where nothing was put out, a reset may still be on its way.
        world.transmit(usize::MAX);
        world.acknowledge(1);
        let mut turns = 0;
        while world.viewers.values().any(|viewer| viewer.offset < world.put_out) {
            world.transmit(usize::MAX);
            for channel in 1..5 {
                world.acknowledge(channel);
            }
            turns += 1;
            prop_assert!(turns < 100, "somebody never gets everything");
        }
        prop_assert_eq!(world.viewers[&1].resets, 1, "only the first, which had nothing");
        prop_assert!(world.viewers.values().all(|viewer| viewer.closed.is_none()));
    }

    #[test]
    fn no_frame_of_a_viewer_makes_it_panic(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20)) {
        let mut world = World::new();
        world.open(1);
        for frame in frames {
            world.core.frame(ChannelId(1), &frame, world.now);
            world.transmit(usize::MAX);
        }
    }
}

#[test]
fn a_flood_is_read_freely_while_nobody_looks() {
    let mut world = World::new();
    for _ in 0..100 {
        assert_eq!(world.output(50_000), 50_000);
    }
    world.open(1);
    assert_eq!(world.viewers[&1].resets, 1);
    let kept = world.put_out - RING_BYTES as u64;
    assert!(world.viewers[&1].offset >= kept);
}

#[test]
fn a_viewer_that_is_dead_stalls_the_terminal_for_two_seconds() {
    let mut world = World::new();
    world.open(1);
    while world.output(50_000) > 0 {
        world.transmit(usize::MAX);
    }
    assert_eq!(world.put_out, RING_BYTES as u64);
    world.pass(STALL / 2);
    assert_eq!(world.output(50_000), 0);
    let wakes_at = world.core.deadline(world.now).unwrap();
    assert_eq!(wakes_at, world.now + STALL / 2);
    world.pass(STALL / 2);
    for _ in 0..6 {
        assert_eq!(world.output(50_000), 50_000);
    }
    // Once it shows life it counts again, and is told of the gap.
    world.acknowledge(1);
    world.transmit(usize::MAX);
    assert_eq!(world.viewers[&1].resets, 2);
}

#[test]
fn a_viewer_that_comes_back_gets_the_rest_and_no_reset() {
    let mut world = World::new();
    world.open(1);
    world.output(100_000);
    world.pass(PATIENCE);
    world.transmit(2);
    world.attach(1);
    world.output(100_000);
    world.pass(PATIENCE);
    world.transmit(usize::MAX);
    assert_eq!(world.viewers[&1].offset, 200_000);
    assert_eq!(world.viewers[&1].resets, 1);
}

#[test]
fn an_offset_of_another_epoch_or_from_the_future_is_reset() {
    for (epoch, offset) in [(EPOCH + 1, 5), (EPOCH, 11)] {
        let mut world = World::new();
        world.output(10);
        let mut wish = attachment(1);
        (wish.epoch, wish.offset) = (epoch, offset);
        world.core.attach(wish, world.now);
        world.viewers.insert(1, Model::default());
        world.transmit(usize::MAX);
        assert_eq!(world.viewers[&1].resets, 1);
        assert_eq!(world.viewers[&1].offset, 10);
    }
}

#[test]
fn frames_are_full_in_a_flood() {
    let mut world = World::new();
    world.open(1);
    world.output(1);
    world.transmit(usize::MAX);
    world.output(MAX_DATA_BYTES as u64 - 1);
    assert!(!world.core.has_something_to_send(world.now));
    world.output(1);
    world.transmit(1);
    assert_eq!(world.viewers[&1].offset, 1 + MAX_DATA_BYTES as u64);
}

#[test]
fn output_after_input_is_sent_at_once() {
    let mut world = World::new();
    world.open(1);
    world.output(1);
    world.type_bytes(1, 0, b"x");
    assert_eq!(world.core.pending_input(), b"x");
    world.core.wrote(1, world.now);
    world.output(1);
    world.transmit(usize::MAX);
    assert_eq!(world.viewers[&1].offset, 2);
    assert_eq!(world.viewers[&1].input_acknowledged, 0);
    world.pass(INPUT_ACK_DELAY);
    world.transmit(usize::MAX);
    assert_eq!(world.viewers[&1].input_acknowledged, 1);
}

#[test]
fn frames_before_opened_and_bad_acknowledgements_close_the_channel() {
    let mut world = World::new();
    world.attach(1);
    let early = ViewerFrame::Ack { offset: 0 }.encode();
    world.core.frame(ChannelId(1), &early, world.now);
    world.transmit(usize::MAX);
    assert_eq!(world.viewers[&1].closed, Some(CloseReason::Invalid));

    world.open(2);
    let unsent = ViewerFrame::Ack { offset: 1 }.encode();
    world.core.frame(ChannelId(2), &unsent, world.now);
    world.transmit(usize::MAX);
    assert_eq!(world.viewers[&2].closed, Some(CloseReason::Invalid));
}

#[test]
fn the_end_is_told_after_the_last_byte() {
    let mut world = World::new();
    world.open(1);
    while world.output(50_000) > 0 {}
    world.core.exited(Exit::Code(3), world.now);
    while world.viewers[&1].closed.is_none() {
        world.transmit(usize::MAX);
        world.acknowledge(1);
    }
    assert_eq!(world.viewers[&1].offset, world.put_out);
    assert_eq!(world.viewers[&1].exit, Some(Exit::Code(3)));
    assert_eq!(world.viewers[&1].closed, Some(CloseReason::Exited));
    assert!(world.core.is_over());
}

#[test]
fn one_viewer_too_many_is_turned_away() {
    let mut world = World::new();
    let most = u32::try_from(MAX_VIEWERS).unwrap();
    for channel in 1..=most + 1 {
        world.open(channel);
    }
    assert_eq!(world.viewers[&(most + 1)].closed, Some(CloseReason::TooMany));
    assert_eq!(world.core.viewers(), MAX_VIEWERS);
}

#[test]
fn output_that_only_hidden_viewers_get_is_watched_by_nobody() {
    let mut world = World::new();
    let hide = |world: &mut World, channel: u32, hidden: bool| {
        let frame = ViewerFrame::Visibility { hidden }.encode();
        world.core.frame(ChannelId(channel), &frame, world.now);
    };
    world.open(1);
    let read_only = Attachment { read_only: true, ..attachment(2) };
    world.core.attach(read_only, world.now);
    world.viewers.insert(2, Model::default());
    world.transmit(usize::MAX);
    assert!(world.core.is_watched(world.now), "one that says nothing counts as one that looks");
    hide(&mut world, 1, true);
    assert!(world.core.is_watched(world.now));
    hide(&mut world, 2, true);
    assert!(!world.core.is_watched(world.now));
    assert_eq!(world.core.viewers(), 2, "and both go on");
    hide(&mut world, 1, false);
    assert!(world.core.is_watched(world.now));
}
