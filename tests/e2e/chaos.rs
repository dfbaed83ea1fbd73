//! Everything at once: five people make, use and delete workspaces while the control plane, the local cloud and agents are killed
//! and the cloud's answers go wrong. At the end nothing is left, no limit was broken, no byte of a terminal was lost, and no
//! timer was lost or early (I1, I2, I3, I5, I7).

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes;
use ringfence_protocol::state::{Isolation, WorkspaceState};
use ringfence_protocol::views::WorkspaceView;
use xtask::client::{Refused, Terminal, until, until_some};

use crate::world::{LIMIT, Person, Setting, World, story};

const PEOPLE: usize = 5;
/// Rounds of all people together; `RINGFENCE_CHAOS_ROUNDS` asks for more.
const ROUNDS: usize = 30;
/// So that a run that fails can be looked at again; `RINGFENCE_TEST_SEED` tries another one.
const SEED: u64 = 1;
/// How long a node without workspaces is kept.
const IDLE_SECS: u64 = 5;
/// How long a machine may take to be made, and to boot: whatever goes wrong, a workspace runs or ends before its person loses patience.
const MADE_SECS: u64 = 45;
/// Most workspaces on a node: the default of an installation.
const PLACES: u64 = 3;
/// Lines that a terminal prints in a round, a hundred at a time over some seconds: less than an agent keeps for those who come back.
const LINES: u32 = 4000;
/// The longest pause between two mishaps.
const PAUSE_MS: u64 = 1500;

const FAULTS: [(&str, &str); 8] = [
    ("create_server", "lose_answer_after_effect"),
    ("create_server", "lose_answer_before_effect"),
    ("create_server", "resource_unavailable"),
    ("delete_server", "lose_answer_after_effect"),
    ("delete_server", "lose_answer_before_effect"),
    ("list_servers", "lose_answer_before_effect"),
    ("get_server", "lose_answer_before_effect"),
    ("any", "rate_limited"),
];

const CROWDED: &str = "SELECT node_id, COUNT(*) AS places FROM node_slots GROUP BY node_id HAVING COUNT(*) > 3";
/// What one person, and all of them, may have at once: few enough to be reached.
const NODES: u64 = 3;
const WORKSPACES: u64 = 4;
const EPHEMERAL: u64 = 2;
const BEYOND: &str = "SELECT 'nodes of ' || user_id AS what, COUNT(*) AS used FROM nodes WHERE state <> 'gone' GROUP BY user_id HAVING COUNT(*) > 3
    UNION ALL SELECT 'workspaces of ' || user_id, COUNT(*) FROM node_slots GROUP BY user_id HAVING COUNT(*) > 4
    UNION ALL SELECT 'ephemeral ones', COUNT(*) FROM nodes WHERE state <> 'gone' AND isolation = 'ephemeral' HAVING COUNT(*) > 2";
const MIXED: &str = "SELECT s.node_id FROM node_slots s JOIN nodes n ON n.id = s.node_id
    JOIN workspaces w ON w.id = s.workspace_id WHERE s.user_id <> n.user_id OR w.user_id <> n.user_id";
/// How long each node that ended for idleness had been without a workspace, by what was recorded.
const IDLED: &str = "SELECT e.node_id AS node_id, e.at_ms - (
      SELECT MAX(w.at_ms) FROM events w WHERE w.node_id = e.node_id AND w.kind = 'workspace_state' AND w.id < e.id
        AND (w.event_json LIKE '%\"state\":\"gone\"%' OR w.event_json LIKE '%\"state\":\"failed\"%')) AS idle_ms
    FROM events e JOIN nodes n ON n.id = e.node_id
    WHERE n.failure = 'idle' AND e.kind = 'node_state' AND e.event_json LIKE '%\"state\":\"destroying\"%'";

/// How long nodes were in the state whose time they are said to have overstayed.
const TIMED_OUT: &str = "SELECT n.failure, e.at_ms - (
      SELECT MAX(b.at_ms) FROM events b WHERE b.node_id = e.node_id AND b.kind = 'node_state' AND b.id < e.id) AS there_ms
    FROM events e JOIN nodes n ON n.id = e.node_id
    WHERE n.failure IN ('provisioning_timeout', 'boot_timeout') AND e.kind = 'node_state' AND e.event_json LIKE '%\"state\":\"failed\"%'";

/// From so many rounds on everything that is to be tried has been.
const MANY: usize = 100;

/// What came of the rounds.
#[derive(Default)]
struct Tally {
    /// Terminals all of whose bytes arrived, once, in order.
    whole: Cell<usize>,
    /// Those of them that had to reconnect.
    reconnected: Cell<usize>,
    /// Rounds that an agent's death or a deletion cut short.
    cut: Cell<usize>,
    mishaps: RefCell<Vec<&'static str>>,
    /// New workspaces that a limit did not let in.
    refused: Cell<usize>,
}

impl Tally {
    fn count(cell: &Cell<usize>) {
        cell.set(cell.get() + 1);
    }
}

#[tokio::test]
async fn whatever_is_killed_while_five_people_work_nothing_leaks_and_no_byte_is_lost() -> Result<()> {
    let hasty = Setting::default()
        .var("RINGFENCE_IDLE_TIMEOUT_SECS", IDLE_SECS)
        .var("RINGFENCE_PROVISIONING_SECS", MADE_SECS)
        .var("RINGFENCE_BOOTING_SECS", MADE_SECS)
        .var("RINGFENCE_LIMIT_USER_NODES", NODES)
        .var("RINGFENCE_LIMIT_USER_WORKSPACES", WORKSPACES)
        .var("RINGFENCE_LIMIT_INSTALLATION_EPHEMERAL_WORKSPACES", EPHEMERAL);
    story(hasty, async |world| {
        let rounds = from_environment("RINGFENCE_CHAOS_ROUNDS").unwrap_or(ROUNDS);
        let seed = from_environment("RINGFENCE_TEST_SEED").unwrap_or(SEED);
        let mut people = Vec::new();
        for n in 0..PEOPLE {
            people.push(world.person(&format!("person {n}")).await?);
        }
        let (tally, over) = (Tally::default(), Cell::new(false));
        let work = async {
            let each = people.iter().zip(1..).map(|(person, n)| {
                let random = StdRng::seed_from_u64(seed * 1000 + n);
                live(person, random, rounds.div_ceil(PEOPLE), &tally)
            });
            let results = join_all(each).await;
            over.set(true);
            results.into_iter().collect::<Result<Vec<()>>>()
        };
        let (worked, chaos) = tokio::join!(work, havoc(world, StdRng::seed_from_u64(seed), &over, &tally));
        chaos.context("havoc")?;
        worked?;
        eprintln!(
            "{} terminals whole, {} of them after reconnecting, {} rounds cut short, {} mishaps, {} times at a limit",
            tally.whole.get(),
            tally.reconnected.get(),
            tally.cut.get(),
            tally.mishaps.borrow().len(),
            tally.refused.get()
        );
        ensure!(tally.whole.get() * 3 >= rounds, "too few rounds came to anything");
        let killed = |what| tally.mishaps.borrow().contains(&what);
        let tried = tally.refused.get() > 0 && tally.reconnected.get() > 0;
        let all_killed = ["control plane", "local cloud", "agent"].into_iter().all(killed);
        ensure!(rounds < MANY || (tried && all_killed), "a limit, a reconnection or a kill was never tried");

        // What is left of them would meet this test's own questions.
        world.cloud.forget_faults().await?;
        // Some nodes are deleted; the others have nobody who asks: their timers alone end them.
        for (person, n) in people.iter().zip(0..) {
            for workspace in answered(async || person.client.workspaces().await).await? {
                insist(async || person.client.delete_workspace(workspace.id).await).await;
            }
            if n % 2 == 0 {
                for node in answered(async || person.client.nodes().await).await? {
                    insist(async || person.client.delete_node(node.id).await).await;
                }
            }
        }
        world.nothing_is_left().await?;
        let early = world.rows(IDLED).await?;
        let is_early = |row: &serde_json::Map<String, serde_json::Value>| {
            row.get("idle_ms").and_then(serde_json::Value::as_u64).is_none_or(|ms| ms < IDLE_SECS * 1000)
        };
        ensure!(!early.iter().any(is_early), "nodes that were ended before their time: {early:?}");
        let timed_out = world.rows(TIMED_OUT).await?;
        let is_early = |row: &serde_json::Map<String, serde_json::Value>| {
            row.get("there_ms").and_then(serde_json::Value::as_u64).is_none_or(|ms| ms < MADE_SECS * 1000)
        };
        ensure!(!timed_out.iter().any(is_early), "nodes that failed before their time: {timed_out:?}");
        eprintln!("{} nodes ended for want of use, {} for their time", early.len(), timed_out.len());
        Ok(())
    })
    .await
}

/// Kills and breaks things, one after another, until all is over, and looks meanwhile that limits hold.
async fn havoc(world: &World, mut random: StdRng, over: &Cell<bool>, tally: &Tally) -> Result<()> {
    while !over.get() {
        // Not a wait for something to have happened: the moments are what is tried.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..PAUSE_MS))).await;
        let what = match random.random_range(0..8) {
            0 => {
                world.stack.kill_control_plane().await?;
                tokio::time::sleep(Duration::from_millis(random.random_range(0..PAUSE_MS / 2))).await;
                world.stack.start_control_plane().await?;
                "control plane"
            }
            1 => {
                world.stack.kill_local_cloud().await?;
                tokio::time::sleep(Duration::from_millis(random.random_range(0..PAUSE_MS / 2))).await;
                world.stack.start_local_cloud().await?;
                "local cloud"
            }
            2 => {
                let machines = world.cloud.machines().await?;
                if let Some(machine) = machines.get(random.random_range(0..machines.len().max(1))) {
                    // It may be deleted at this very moment.
                    let _ = world.cloud.signal(machine.id, "KILL").await;
                }
                "agent"
            }
            _ => {
                let (on, fault) = FAULTS[random.random_range(0..FAULTS.len())];
                world.cloud.order(on, fault).await?;
                fault
            }
        };
        tally.mishaps.borrow_mut().push(what);
        let crowded = world.rows(CROWDED).await?;
        ensure!(crowded.is_empty(), "more than {PLACES} workspaces on a node: {crowded:?}");
        let beyond = world.rows(BEYOND).await?;
        ensure!(
            beyond.is_empty(),
            "more than {NODES} nodes, {WORKSPACES} workspaces, {EPHEMERAL} ephemeral: {beyond:?}"
        );
        let mixed = world.rows(MIXED).await?;
        ensure!(mixed.is_empty(), "two users on one node: {mixed:?}");
    }
    Ok(())
}

/// One person's rounds.
async fn live(person: &Person, mut random: StdRng, rounds: usize, tally: &Tally) -> Result<()> {
    for round in 0..rounds {
        let Some(workspace) = somewhere_to_work(person, &mut random, tally).await? else {
            Tally::count(&tally.cut);
            continue;
        };
        let whole = tokio::time::timeout(LIMIT, work_in(person, workspace, round)).await;
        match whole.with_context(|| format!("a terminal of {workspace} never came to its end"))?? {
            Some(reconnects) => {
                Tally::count(&tally.whole);
                tally.reconnected.set(tally.reconnected.get() + usize::from(reconnects > 0));
            }
            None => Tally::count(&tally.cut),
        }
        match random.random_range(0..4) {
            0 => {
                insist(async || person.client.act(&routes::WORKSPACE_STOP, &[&workspace]).await).await;
            }
            1 => {
                insist(async || person.client.delete_workspace(workspace).await).await;
            }
            2 => {
                if let Ok(view) = person.client.workspace(workspace).await {
                    insist(async || person.client.delete_node(view.node.id).await).await;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A workspace that runs: one there is, started if need be, or a new one. None where it fails or is lost on the way.
async fn somewhere_to_work(person: &Person, random: &mut StdRng, tally: &Tally) -> Result<Option<WorkspaceId>> {
    let isolation = Cell::new(if random.random_range(0..5) == 0 { Isolation::Ephemeral } else { Isolation::User });
    let fresh = random.random_bool(0.5);
    let wanted = until_some("a workspace to be had", LIMIT, async || {
        let Ok(there) = person.client.workspaces().await else { return Ok(None) };
        let usable = |view: &WorkspaceView| matches!(view.state, WorkspaceState::Running | WorkspaceState::Stopped);
        let known = there.into_iter().find(usable);
        if !fresh && known.is_some() {
            return Ok(known);
        }
        Ok(match person.create_isolated(isolation.get()).await {
            Ok(made) => Some(made),
            // Who may have no more makes do with what there is, or waits until something has ended. The ephemeral ones of somebody who
            // works no more do not: who finds them all taken asks for one that is not.
            Err(error) => {
                let at_a_limit =
                    error.downcast_ref::<Refused>().and_then(Refused::code) == Some(ErrorCode::LimitReached);
                tally.refused.set(tally.refused.get() + usize::from(at_a_limit));
                if at_a_limit {
                    isolation.set(Isolation::User);
                }
                known.filter(|_| at_a_limit)
            }
        })
    });
    let workspace = wanted.await?.id;
    until_some("it to run or to end", LIMIT, async || {
        let Ok(view) = person.client.workspace(workspace).await else { return Ok(None) };
        Ok(match view.state {
            WorkspaceState::Running => Some(Some(workspace)),
            WorkspaceState::Failed | WorkspaceState::Gone | WorkspaceState::Deleting => Some(None),
            WorkspaceState::Stopped => {
                let _ = person.client.act(&routes::WORKSPACE_START, &[&workspace]).await;
                None
            }
            WorkspaceState::Requested | WorkspaceState::Placing | WorkspaceState::Creating => None,
        })
    })
    .await
}

/// Prints numbers in a terminal and reads them, coming back whenever the connection breaks: how often that was, or none where the
/// terminal itself ended. Within one life of a terminal each number arrives once and in order, or that is the error.
async fn work_in(person: &Person, workspace: WorkspaceId, round: usize) -> Result<Option<u32>> {
    let Some(mut terminal) = opened(person, workspace).await? else { return Ok(None) };
    let epoch = terminal.opened().epoch;
    // A new viewer may be given a screen to begin with; from its own first output on it gets every byte.
    let mut resets = None;
    let end = format!("end of {round}.");
    // Cut in two where it is typed, so that its echo is no answer; nothing of an earlier round is taken for this one's.
    let counting =
        format!("i=0; while [ $i -lt {LINES} ]; do seq $((i + 1)) $((i + 100)); sleep 0.05; i=$((i + 100)); done");
    let line = format!("stty -echo; echo begin''ning {round}.; {counting}; echo 'end of' '{round}.'");
    let mut typed = terminal.type_line(&line).await.is_ok();
    let mut reconnects = 0;
    let mut text = Vec::new();
    for marker in [format!("beginning {round}."), end] {
        loop {
            if typed {
                match terminal.wait_for(&marker, LIMIT).await {
                    Ok(bytes) => {
                        text = bytes;
                        resets = Some(terminal.resets());
                        break;
                    }
                    Err(error) if error.is::<xtask::client::Closed>() => {}
                    Err(error) => return Err(error.context(format!("epoch {epoch}, {reconnects} reconnects"))),
                }
            }
            reconnects += 1;
            typed = true; // what was typed is kept by the viewer until the terminal has it
            if !came_back(person, workspace, &mut terminal).await? {
                return Ok(None);
            }
            if terminal.opened().epoch != epoch {
                return Ok(None);
            }
            ensure!(
                resets.is_none_or(|before| before == terminal.resets()),
                "output that the agent keeps was not given again"
            );
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let numbers: Vec<u32> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
    if numbers.iter().copied().ne(1..=LINES) {
        let breach = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1);
        bail!("{} numbers of {LINES} after {reconnects} reconnects, first breach {breach:?}", numbers.len());
    }
    Ok(Some(reconnects))
}

/// A terminal, once one opens; none where its workspace ends first.
async fn opened(person: &Person, workspace: WorkspaceId) -> Result<Option<Terminal>> {
    until_some("a terminal to open", LIMIT, async || {
        if let Ok(terminal) = person.client.open_terminal(workspace).await {
            return Ok(Some(Some(terminal)));
        }
        Ok(is_over(person, workspace).await.then_some(None))
    })
    .await
}

/// Opens the terminal again, as often as it takes; `false` where its workspace ends first.
async fn came_back(person: &Person, workspace: WorkspaceId, terminal: &mut Terminal) -> Result<bool> {
    let started = std::time::Instant::now();
    while started.elapsed() < LIMIT {
        if terminal.reopen().await.is_ok() {
            return Ok(true);
        }
        if is_over(person, workspace).await {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the terminal of {workspace} never opened again")
}

async fn is_over(person: &Person, workspace: WorkspaceId) -> bool {
    let state = person.client.workspace(workspace).await.map(|view| view.state);
    !matches!(state, Err(_) | Ok(WorkspaceState::Running | WorkspaceState::Creating))
}

/// Asks until it was told: the last connection may have died with the control plane.
async fn answered<T>(ask: impl AsyncFn() -> Result<T>) -> Result<T> {
    until_some("an answer", LIMIT, async || Ok(ask().await.ok())).await
}

/// Asks until it was answered, whatever the answer: the control plane may be down.
async fn insist(ask: impl AsyncFn() -> Result<()>) {
    let answered = until("an answer", LIMIT, async || {
        Ok(match ask().await {
            Ok(()) => true,
            Err(error) => error.is::<xtask::client::Refused>(),
        })
    });
    // Where none comes, what follows fails and says more.
    let _ = answered.await;
}

fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}
