//! What an idle node and the cron cost, held against what the plan's figures say (`protocol::plan`): one message of each kind that its agent sends,
//! one renewal of its token, one alarm, as D1 and the object count them in workerd.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::SinkExt as _;
use ringfence::domain::mac;
use ringfence_protocol::SUBPROTOCOL;
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::link::{Activity, AgentMessage, Facts};
use ringfence_protocol::plan::{self, Cost};
use ringfence_protocol::posture::Posture;
use ringfence_protocol::routes::{self, Endpoint};
use ringfence_protocol::state::ActivityCause;
use ringfence_protocol::views::NodeView;
use serde::Deserialize;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use xtask::client::until;
use xtask::clock;

use crate::support::mint::{self, Mint};
use crate::support::request::{DeviceKey, ProofFor, Raw, http};
use crate::world::{LIMIT, Person, Setting, World, story};

/// A line of the control plane's log that tells what something has cost.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Spent {
    #[serde(rename = "d1.rows_read", default)]
    rows_read: u64,
    #[serde(rename = "d1.rows_written", default)]
    rows_written: u64,
    #[serde(rename = "object.requests", default)]
    requests: u64,
    #[serde(rename = "object.messages", default)]
    messages: u64,
    #[serde(rename = "object.rows_written", default)]
    object_rows_written: u64,
}

impl Spent {
    /// What is left of it without that.
    fn beyond(self, other: Self) -> Self {
        Self {
            rows_read: self.rows_read.saturating_sub(other.rows_read),
            rows_written: self.rows_written.saturating_sub(other.rows_written),
            requests: self.requests.saturating_sub(other.requests),
            messages: self.messages.saturating_sub(other.messages),
            object_rows_written: self.object_rows_written.saturating_sub(other.object_rows_written),
        }
    }

    /// What is wrong with what the plan says: it must be as much, and not many times too much.
    fn against(self, what: &str, cost: Cost) -> Option<String> {
        println!("{what}: {self:?}, in the plan {cost:?}");
        let fits = self.rows_read <= cost.rows_read
            && self.rows_written <= cost.rows_written
            && self.messages <= cost.messages
            && self.object_rows_written <= cost.object_rows_written;
        let honest = cost.rows_read <= 2 * self.rows_read + 4 && cost.rows_written <= 2 * self.rows_written + 1;
        (!fits || !honest).then(|| format!("{what}: {self:?}, in the plan {cost:?}"))
    }
}

#[tokio::test]
async fn what_an_idle_node_costs_is_what_the_plan_says() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let node = workspace.node.id;
        // Its own agent is still from now on: what follows is this test's alone.
        let machine = world.cloud.machines().await?[0].id;
        world.cloud.signal(machine, "STOP").await?;
        let agent = ByHand::of(world, node).await?;
        let mut link = agent.link().await?;
        let say = async |link: &mut Link, message: AgentMessage, column: &str| {
            // Told twice within half a minute it would change nothing.
            world.rows(&format!("UPDATE nodes SET facts_at_ms = 0, posture_at_ms = 0 WHERE id = '{node}'")).await?;
            link.send(Message::text(serde_json::to_string(&message)?)).await?;
            let (table, id) = if column == "active_until_ms" {
                ("workspaces", workspace.id.to_string())
            } else {
                ("nodes", node.to_string())
            };
            let before = clock::now().get() - LIMIT.as_millis() as i64;
            let recorded = format!("SELECT {column} FROM {table} WHERE id = '{id}' AND {column} > {before}");
            until("what was said to be recorded", LIMIT, async || Ok(!world.rows(&recorded).await?.is_empty())).await
        };

        // Each changes the node's policy, and so has its alarm look at it; the first also tells of what came before.
        turn(world, &ada, node, &routes::NODE_CORDON).await?;
        let alarm = turn(world, &ada, node, &routes::NODE_UNCORDON).await?;
        // The request's own two calls, and what they write, are not the alarm's.
        ensure!(alarm.requests == 3 && alarm.messages == 0, "{alarm:?}");
        let calls = Spent { requests: 2, object_rows_written: 3, ..Spent::default() };
        let mut wrong = Vec::new();
        wrong.extend(alarm.beyond(calls).against("an alarm", plan::ALARM));

        let now = clock::now();
        let facts = Facts {
            cpu_percent: 1.0,
            memory_percent: 2.0,
            memory_total_bytes: 1 << 32,
            disk_percent: 3.0,
            disk_total_bytes: 1 << 35,
            measured_at: now,
        };
        say(&mut link, AgentMessage::Facts(facts), "facts_at_ms").await?;
        let spent = turn(world, &ada, node, &routes::NODE_CORDON).await?.beyond(alarm);
        wrong.extend(spent.against("figures", plan::FIGURES));

        let posture = Posture { measured_at: now, checks: Vec::new() };
        say(&mut link, AgentMessage::NodePosture(posture), "posture_at_ms").await?;
        let spent = turn(world, &ada, node, &routes::NODE_UNCORDON).await?.beyond(alarm);
        wrong.extend(spent.against("a posture", plan::POSTURE));

        world.rows(&format!("UPDATE workspaces SET active_until_ms = 0 WHERE id = '{}'", workspace.id)).await?;
        let activity = Activity { at: clock::now(), cause: ActivityCause::TerminalInput, lease_ends_at: None };
        let used = AgentMessage::Activity { workspace_id: workspace.id, activity };
        say(&mut link, used, "active_until_ms").await?;
        let spent = turn(world, &ada, node, &routes::NODE_CORDON).await?.beyond(alarm);
        wrong.extend(spent.against("a sign of use", plan::USE));

        let before = lines(world)?.len();
        agent.renew().await?;
        let told = async || Ok(of_path(world, before, routes::AGENT_TOKEN.path)?.is_some());
        until("the renewal to be told of", LIMIT, told).await?;
        let spent = of_path(world, before, routes::AGENT_TOKEN.path)?.context("no renewal")?;
        wrong.extend(spent.against("a renewal", plan::RENEWAL));
        ensure!(wrong.is_empty(), "the plan is not what workerd says: {wrong:#?}");
        world.cloud.signal(machine, "CONT").await
    })
    .await
}

#[tokio::test]
async fn what_the_cron_costs_is_what_the_plan_says_however_many_accounts_there_are() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        ada.running().await?;
        // It does more in the first minutes of an installation, and every tenth minute; half of these are quiet ones.
        let quiet = async || {
            let mut runs = Vec::new();
            for _ in 0..4 {
                world.rows(&format!("UPDATE provider_credentials SET sweep_tried_at_ms = {}", clock::now().get())).await?;
                runs.push(run(world).await?);
            }
            runs.sort_by_key(|run| (run.rows_written, run.rows_read));
            anyhow::Ok(runs[0])
        };
        let mut wrong = Vec::new();
        let alone = quiet().await?;
        // What is written every few minutes only is not in the quietest.
        let with_writes = Spent { rows_written: alone.rows_written.max(plan::CRON_RUN.rows_written), ..alone };
        wrong.extend(with_writes.against("a run of the cron", plan::CRON_RUN));
        let mut looks = Vec::new();
        for _ in 0..3 {
            world.rows("UPDATE provider_credentials SET sweep_tried_at_ms = NULL").await?;
            looks.push(run(world).await?.beyond(alone));
        }
        looks.sort_by_key(|look| (look.rows_written, look.rows_read));
        wrong.extend(looks[0].against("a look at an account", plan::ACCOUNT_LOOK));
        world
            .rows(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
                 INSERT INTO provider_credentials (id, user_id, provider, name, sealed_secret, seal_version, created_at_ms, row_version)
                 SELECT c.id || n.i, c.user_id, c.provider, 'more ' || n.i, c.sealed_secret, c.seal_version, c.created_at_ms, 1
                 FROM provider_credentials c, n",
            )
            .await?;
        let beside_many = quiet().await?;
        println!("beside 500 more accounts: {beside_many:?}");
        ensure!(beside_many.rows_read <= alone.rows_read + 2, "{beside_many:?}, and {alone:?} with one account");
        ensure!(wrong.is_empty(), "the plan is not what workerd says: {wrong:#?}");
        Ok(())
    })
    .await
}

/// Runs the cron, and gives what it has asked of the database.
async fn run(world: &World) -> Result<Spent> {
    let before = lines(world)?.len();
    world.stack.run_cron("* * * * *").await?;
    let of_cron = |line: &serde_json::Value| line["message"] == "cron";
    until("the cron to tell what it cost", LIMIT, async || Ok(lines(world)?.iter().skip(before).any(of_cron))).await?;
    let line = lines(world)?.into_iter().skip(before).find(of_cron).context("no cron")?;
    Ok(serde_json::from_value(line)?)
}

/// Changes the node's policy, and gives what its object and the database have done for it since its alarm told last.
async fn turn(world: &World, who: &Person, node: NodeId, endpoint: &'static Endpoint) -> Result<Spent> {
    let before = lines(world)?.len();
    who.client.call::<NodeView>(endpoint, &[&node]).await?;
    let of_alarm = |line: &serde_json::Value| line["message"] == "alarm" && line["node.id"] == node.to_string();
    let told = async || Ok(lines(world)?.iter().skip(before).any(of_alarm));
    until("the alarm to tell what it cost", LIMIT, told).await?;
    let line = lines(world)?.into_iter().skip(before).find(of_alarm).context("no alarm")?;
    Ok(serde_json::from_value(line)?)
}

fn of_path(world: &World, before: usize, path: &str) -> Result<Option<Spent>> {
    let line = lines(world)?.into_iter().skip(before).find(|line| line["url.path"] == path);
    Ok(line.map(serde_json::from_value).transpose()?)
}

fn lines(world: &World) -> Result<Vec<serde_json::Value>> {
    let text = std::fs::read_to_string(world.stack.log("control-plane"))?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(&line[line.find('{')?..]).ok()).collect())
}

type Link = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// An agent's credentials without the agent.
struct ByHand {
    origin: String,
    mint: Mint,
    key: DeviceKey,
    token: String,
}

impl ByHand {
    async fn of(world: &World, node: NodeId) -> Result<Self> {
        let (mint, key) = (Mint::new(&world.stack), DeviceKey::new());
        let rows = world.rows(&format!("SELECT agent_epoch FROM nodes WHERE id = '{node}'")).await?;
        let epoch = rows[0]["agent_epoch"].as_f64().context("no epoch")? as i64;
        let token = mint.sign(mint::callback(node, epoch, &key.jkt()));
        Ok(Self { origin: world.stack.origin(), mint, key, token })
    }

    fn proof(&self, method: &'static str, url: &str) -> String {
        let nonce = Some(mac::nonce(self.mint.keyring(), clock::now()));
        self.key.proof(ProofFor { method, url: url.to_owned(), token: &self.token, nonce })
    }

    async fn link(&self) -> Result<Link> {
        let url = format!("{}{}", self.origin, routes::AGENT_LINK.path);
        let mut request = url.replacen("http", "ws", 1).into_client_request()?;
        request.headers_mut().insert(AUTHORIZATION, format!("DPoP {}", self.token).parse()?);
        request.headers_mut().insert("dpop", self.proof("GET", &url).parse()?);
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL.parse()?);
        Ok(tokio::time::timeout(Duration::from_secs(10), connect_async(request)).await??.0)
    }

    async fn renew(&self) -> Result<()> {
        let url = format!("{}{}", self.origin, routes::AGENT_TOKEN.path);
        let request = Raw::post(&url).header("authorization", format!("DPoP {}", self.token));
        let answer = request.header("dpop", self.proof("POST", &url)).send(&http()).await?;
        ensure!(answer.status.is_success(), "{}", answer.text());
        Ok(())
    }
}
