//! Guards of the control plane: its core, its statements, its schema.

guards! {
    within ControlPlane:

    // I1: two users never share a node.
    "same-user-placement" in "src/domain/placement.rs":
        "candidate.user_id != wish.user_id || candidate" => "candidate";
    "same-user-candidates" in "src/store/nodes.rs":
        "WHERE n.user_id = ?1 AND n.credential_id = ?2" => "WHERE ?1 = ?1 AND n.credential_id = ?2";
    "same-user-claim" in "src/store/workspaces.rs":
        "WHERE n.id = ?1 AND n.user_id = ?2 AND n.policy" => "WHERE n.id = ?1 AND ?2 = ?2 AND n.policy";
    "same-user-claim-new" in "src/store/workspaces.rs":
        "FROM nodes n WHERE n.id = ?1 AND n.user_id = ?2\"" => "FROM nodes n WHERE n.id = ?1 AND ?2 = ?2\"";
    "same-user-insert" in "src/store/workspaces.rs":
        "WHERE s.workspace_id = ?1 AND s.user_id = ?2" => "WHERE s.workspace_id = ?1 AND ?2 = ?2";
    "node-keeps-owner" in "d1-migrations/0002_nodes.sql":
        "WHEN NEW.user_id <> OLD.user_id OR NEW.tenant_id <> OLD.tenant_id" => "WHEN 0";
    "key-of-a-place-and-its-node" in "d1-migrations/0002_nodes.sql":
        "  PRIMARY KEY (node_id, slot),\n  FOREIGN KEY (node_id, user_id) REFERENCES nodes (id, user_id),\n" => "  PRIMARY KEY (node_id, slot),\n";
    "key-of-a-place-and-its-workspace" in "d1-migrations/0002_nodes.sql":
        ",\n  FOREIGN KEY (workspace_id, user_id) REFERENCES workspaces (id, user_id) DEFERRABLE INITIALLY DEFERRED\n" => "\n";
    "key-of-a-workspace-and-its-node" in "d1-migrations/0002_nodes.sql":
        ",\n  FOREIGN KEY (node_id, user_id) REFERENCES nodes (id, user_id)\n);\nCREATE INDEX workspaces_by_user" => "\n);\nCREATE INDEX workspaces_by_user";
    "key-of-a-node-and-its-credential" in "d1-migrations/0002_nodes.sql":
        ",\n  FOREIGN KEY (credential_id, user_id) REFERENCES provider_credentials (id, user_id)\n" => "\n";
    "key-of-an-event-and-its-node" in "d1-migrations/0002_nodes.sql":
        ",\n  FOREIGN KEY (node_id, user_id) REFERENCES nodes (id, user_id)\n);\nCREATE INDEX events_by_user" => "\n);\nCREATE INDEX events_by_user";
    "workspace-keeps-owner-and-node" in "d1-migrations/0002_nodes.sql":
        "WHEN NEW.user_id <> OLD.user_id OR NEW.node_id <> OLD.node_id" => "WHEN 0";
    "owner-of-node-to-change" in "src/app/change_node.rs":
        ".filter(|turn| turn.row.user_id == actor.user_id)" => ".filter(|_| !actor.user_id.to_string().is_empty())";

    // I3: no double claim, no double redemption.
    "slot-constraint" in "d1-migrations/0002_nodes.sql":
        "PRIMARY KEY (node_id, slot)," => "PRIMARY KEY (node_id, slot, workspace_id),";
    "one-place-a-workspace" in "d1-migrations/0002_nodes.sql":
        "workspace_id TEXT NOT NULL UNIQUE," => "workspace_id TEXT NOT NULL,";
    "free-place-claim" in "src/store/workspaces.rs":
        "AND NOT EXISTS (SELECT 1 FROM node_slots t WHERE t.node_id = n.id AND t.slot = p.slot)" => "";
    "claimed-or-nothing" in "src/store/limits.rs":
        "NOT EXISTS (SELECT 1 FROM node_slots WHERE workspace_id = ?5)" => "?5 IS NULL";
    "consumed-at" in "src/store/bootstrap.rs":
        "AND consumed_at_ms IS NULL AND expires_at_ms > ?5" => "AND expires_at_ms > ?5";
    "expiry-of-bootstrap" in "src/store/bootstrap.rs":
        "AND consumed_at_ms IS NULL AND expires_at_ms > ?5" => "AND consumed_at_ms IS NULL";
    "winner-of-bootstrap" in "src/app/bootstrap.rs":
        "if winner.public_key_jkt != key.thumbprint {" => "if winner.public_key_jkt.is_empty() {";

    "address-of-bootstrap" in "src/app/bootstrap.rs":
        "    require_live(&row)?;\n    require_own_address(&row, presented.source)?;\n" => "    require_live(&row)?;\n";
    "address-of-a-boot-that-failed" in "src/app/boot_failure.rs":
        "        require_own_address(&row, teller.source)?;\n" => "        let _ = require_own_address(&row, teller.source);\n";
    "link-is-used-once" in "src/store/identity.rs":
        "AND consumed_at_ms IS NULL AND expires_at_ms > ?4" => "AND expires_at_ms > ?4";
    "link-ends" in "src/store/identity.rs":
        "AND consumed_at_ms IS NULL AND expires_at_ms > ?4" => "AND consumed_at_ms IS NULL";
    "link-of-an-active-user" in "src/store/identity.rs":
        "\n           AND EXISTS (SELECT 1 FROM users u WHERE u.id = sign_in_links.user_id AND u.state = 'active')" => "";
    "one-dedicated-machine" in "d1-migrations/0008_dedicated.sql":
        "CREATE UNIQUE INDEX nodes_dedicated ON" => "CREATE INDEX nodes_dedicated ON";

    // I5: limits, in the statement that admits.
    "limits" in "src/store/limits.rs":
        "\n                OR EXISTS (SELECT 1 FROM counted WHERE used + more > amount)" => "";
    "active-user" in "src/store/limits.rs":
        "AND tenant_id = ?7 AND state = 'active'" => "AND tenant_id = ?7";
    "limits-of-a-claim" in "src/app/create_workspace.rs":
        "admission::require(settings, subject, new.id, Claim::Place, now)," => "admission::require(&Settings::default(), subject, new.id, Claim::Place, now),";
    "limits-of-a-tenant" in "src/app/admission.rs":
        "let every = LimitScope::ALL.iter().flat_map(" => "let every = LimitScope::ALL.iter().filter(|scope| **scope != LimitScope::Tenant).flat_map(";

    // Machines that are kept warm: so many and no more, within every limit.
    "warm-rank" in "src/store/nodes.rs":
        "MAX(k.id) = n.id AND COUNT(*) <= w.minimum" => "MAX(k.id) = n.id";
    "warm-needs-its-agent" in "src/store/nodes.rs":
        "= w.engine_choice AND k.connected_at_ms IS NOT NULL" => "= w.engine_choice";
    "warm-of-active-users" in "src/store/nodes.rs":
        "ON u.id = w.user_id AND u.state = 'active'" => "ON u.id = w.user_id";
    "warm-wish-is-the-one-read" in "src/store/warm.rs":
        "w.user_id = ?1 AND w.row_version = ?2 AND (SELECT" => "w.user_id = ?1 AND ?2 = ?2 AND (SELECT";
    "warm-shortage-at-the-write" in "src/store/warm.rs":
        "'ready')) < w.minimum)" => "'ready')) < w.minimum + 1)";
    "warm-limits-at-the-write" in "src/app/sweep/warm.rs":
        "            admission::require_node(settings, subject, id, need, now),\n" => "";
    "warm-holds-no-workspaces-against-it" in "src/app/admission.rs":
        "more(measure).filter(|_| measure != LimitMeasure::Workspaces)" => "more(measure)";
    "machine-gone-while-its-agent-is-there" in "src/domain/node/answers.rs":
        "if self.link != Link::Up && at.now >= self.settled_at(at) =>" => "if at.now >= self.settled_at(at) =>";
    "machine-gone-of-a-young-node" in "src/domain/node/answers.rs":
        "if self.link != Link::Up && at.now >= self.settled_at(at) =>" => "if self.link != Link::Up =>";
    "machine-gone-by-a-whole-list" in "src/app/sweep/inventory.rs":
        "        if inventory.complete {\n" => "        if true {\n";
    "machine-gone-is-asked-for" in "src/app/sweep/inventory.rs":
        "            Ok(Some(_)) => Ok(None),\n" => "            Ok(Some(_)) => self.end(row.id).await.map(|_| None),\n";
    "pause-at-the-write" in "src/store/limits.rs":
        "?8 = 1 AND EXISTS (SELECT 1 FROM switches" => "?8 = 2 AND EXISTS (SELECT 1 FROM switches";
    "pause-at-the-write-of-a-bare-node" in "src/store/limits.rs":
        "                OR EXISTS (SELECT 1 FROM switches WHERE name = 'provisioning')\n" => "";
    "warm-minimum-has-a-bound" in "src/app/warm_pool.rs":
        "if params.minimum > MAX_WARM_MINIMUM {" => "if params.minimum == u32::MAX {";
    "warm-pool-of-ones-own-cloud" in "src/store/warm.rs":
        "WHERE c.id = ?4 AND c.user_id = ?1 AND c.deleted_at_ms IS NULL" => "WHERE c.id = ?4 AND c.deleted_at_ms IS NULL";

    // What may be claimed.
    "ready-claim" in "src/store/workspaces.rs":
        "AND (n.state = 'ready' OR (n.isolation = 'dedicated' AND n.state IN ('requested', 'provisioning', 'booting')))" => "";
    "schedulable-claim" in "src/store/workspaces.rs":
        "AND n.user_id = ?2 AND n.policy = 'schedulable'" => "AND n.user_id = ?2";
    "ephemeral-is-used-once" in "src/store/workspaces.rs":
        "AND n.isolation <> 'ephemeral' AND n.hard_deadline" => "AND n.hard_deadline";
    "lifetime-claim" in "src/store/workspaces.rs":
        "AND n.hard_deadline_at_ms >= ?6 AND" => "AND ?6 = ?6 AND";
    "budget-claim" in "src/store/workspaces.rs":
        "?6 AND n.budget_spent_at_ms IS NULL" => "?6";
    "engine-claim" in "src/store/workspaces.rs":
        "           AND COALESCE(n.engine_choice, 'unconfined') = ?5\n" => "";
    "placement-tenant" in "src/domain/placement.rs":
        " || candidate.tenant_id != wish.tenant_id" => "";
    "placement-isolation" in "src/domain/placement.rs":
        "if candidate.isolation != wish.isolation {" => "if wish.region.is_empty() {";
    "placement-engine" in "src/domain/placement.rs":
        "if candidate.engine != wish.engine {" => "if wish.region.is_empty() {";
    "placement-ephemeral" in "src/domain/placement.rs":
        "if candidate.isolation == Isolation::Ephemeral {" => "if wish.region.is_empty() {";
    "placement-ready" in "src/domain/placement.rs":
        "if candidate.state != NodeState::Ready && !on_its_way(candidate) {" => "if candidate.state == NodeState::Gone && !on_its_way(candidate) {";
    "placement-policy" in "src/domain/placement.rs":
        "if candidate.policy != NodePolicy::Schedulable {" => "if candidate.policy == NodePolicy::Draining {";
    "placement-health" in "src/domain/placement.rs":
        "&& candidate.health != NodeHealth::Connected {" => "&& candidate.health == NodeHealth::Unknown {";
    "placement-evidence" in "src/domain/placement.rs":
        "if candidate.state == NodeState::Ready && !candidate.evidence.suffices() {" => "if candidate.state != NodeState::Ready && !candidate.evidence.suffices() {";
    "placement-size-processors" in "src/domain/placement.rs":
        "if candidate.cpus < wish.cpus\n        || candidate" => "if candidate";
    "placement-size-memory" in "src/domain/placement.rs":
        "        || candidate.memory_bytes < wish.memory_bytes\n" => "";
    "placement-size-disk" in "src/domain/placement.rs":
        "        || candidate.disk_bytes.is_some_and(|disk| disk < wish.disk_bytes)\n" => "";
    "placement-full" in "src/domain/placement.rs":
        "candidate.places_taken >= candidate.slots" => "candidate.places_taken > candidate.slots";
    "placement-lives-long-enough" in "src/domain/placement.rs":
        "candidate.ends_at < wish.lives_until || candidate.is_unpaid" => "candidate.is_unpaid";
    "placement-is-paid" in "src/domain/placement.rs":
        "candidate.ends_at < wish.lives_until || candidate.is_unpaid" => "candidate.ends_at < wish.lives_until";
    "placement-cloud" in "src/domain/placement.rs":
        "candidate.provider != wish.provider || candidate.credential_id != wish.credential_id" => "candidate.provider != wish.provider";
    "placement-processors" in "src/domain/placement.rs":
        "over(candidate.cpu_percent, limits.cpu_percent)" => "false";
    "placement-memory" in "src/domain/placement.rs":
        "over(candidate.memory_percent, limits.memory_percent)" => "false";
    "posture-claim" in "src/store/workspaces.rs":
        "(n.posture_holds = 1 AND n.posture_epoch = n.agent_epoch)" => "(n.posture_holds = 1)";

    // I9: every change is one compare-and-set.
    "row-version-node" in "src/store/nodes.rs":
        "former_instance_id = ?32\n         WHERE id = ?1 AND row_version = ?2" => "former_instance_id = ?32\n         WHERE id = ?1 AND ?2 = ?2";
    "row-version-required-node" in "src/store/versions.rs":
        "SELECT 1 FROM nodes WHERE id = r.value ->> 0 AND row_version = r.value ->> 1" => "SELECT 1 FROM nodes WHERE id = r.value ->> 0";
    "row-version-workspace" in "src/store/workspaces.rs":
        "warned_of = ?16\n         WHERE id = ?1 AND row_version = ?2" => "warned_of = ?16\n         WHERE id = ?1 AND ?2 = ?2";
    "row-version-required-workspace" in "src/store/versions.rs":
        "SELECT 1 FROM workspaces WHERE id = r.value ->> 0 AND row_version = r.value ->> 1" => "SELECT 1 FROM workspaces WHERE id = r.value ->> 0";
    "row-version-of-a-replaced-credential" in "src/store/credentials.rs":
        "validated_at_ms = ?6, row_version = row_version + 1\n         WHERE id = ?1 AND user_id = ?2 AND row_version = ?3" => "validated_at_ms = ?6, row_version = row_version + 1\n         WHERE id = ?1 AND user_id = ?2 AND ?3 = ?3";
    "row-version-of-a-tried-credential" in "src/store/credentials.rs":
        "validated_at_ms = ?4, row_version = row_version + 1\n         WHERE id = ?1 AND user_id = ?2 AND row_version = ?3" => "validated_at_ms = ?4, row_version = row_version + 1\n         WHERE id = ?1 AND user_id = ?2 AND ?3 = ?3";
    "a-claim-ends-warmth" in "src/app/create_workspace.rs":
        "            workspaces::end_warmth(new.id),\n" => "";

    // I2, I7: intent before effect, timers.
    "arm-before-write" in "src/app/intent.rs":
        "    p.wake(node, p.now() + ARM_DELAY).await?;\n" => "";
    "arm-before-founding" in "src/app/intent.rs":
        "    p.found(node, provider, region, p.now() + ARM_DELAY).await?;\n" => "    let _ = (provider, region);\n";
    "arm-before-quarantine" in "src/app/agent_report.rs":
        "armed(p, id, quarantine).await" => "quarantine.await";
    "arm-before-a-report" in "src/app/agent_report.rs":
        "armed_for(p, id, sooner, turn.commit" => "armed_for(p, id, sooner.filter(|_| false), turn.commit";
    "arm-for-the-deadline" in "src/app/intent.rs":
        "            p.wake(node, deadline).await?;\n" => "            let _ = deadline;\n";
    "wake-after-write" in "src/app/intent.rs":
        "    let _ = p.written(node).await;\n" => "";
    "safety-alarm" in "src/domain/alarm.rs":
        "now + SAFETY\n" => "now + SAFETY * 10_000\n";
    "never-later" in "src/domain/alarm.rs":
        "current.is_none_or(|current| at < current).then_some(at)" => "current.is_none_or(|current| at <= current || at > current).then_some(at)";
    "armed-outlives-an-early-alarm" in "src/domain/alarm.rs":
        "[deadline, current, self.wanted.take(), armed, self.inherited]" => "[deadline, current, self.wanted.take(), armed.filter(|_| false), self.inherited]";
    "wanted-while-running" in "src/domain/alarm.rs":
        "[deadline, current, self.wanted.take(), armed, self.inherited]" => "[deadline, current, self.wanted.take().filter(|_| false), armed, self.inherited]";
    "alarm-set-while-running" in "src/domain/alarm.rs":
        "[deadline, current, self.wanted" => "[deadline, current.filter(|_| false), self.wanted";
    "removal-though-the-answer-was-lost" in "src/app/drive_node.rs":
        "Err(Undriven { error, to_agent: given_up })" => "Err(Undriven { error, to_agent: Vec::new() })";
    "inherited-arming" in "src/domain/alarm.rs":
        "self.wanted.take(), armed, self.inherited]" => "self.wanted.take(), armed, self.inherited.filter(|_| false)]";
    "kept-arming" in "src/domain/alarm.rs":
        "    now < at && at <= now + ARM_DELAY * 2\n" => "    now < at && at <= now\n";
    "look-before-asking-again" in "src/domain/node/time.rs":
        "        self.state = State::Provisioning { next: Provision::Find };\n        self.create_attempts" => "        self.state = State::Provisioning { next: Provision::Create };\n        self.create_attempts";
    "create-is-recorded" in "src/domain/node/time.rs":
        "        self.create_attempts = self.create_attempts.saturating_add(1);\n" => "";
    "create-time-is-recorded" in "src/domain/node/time.rs":
        "        self.last_create_at = Some(at.now);\n" => "        self.last_create_at = self.first_create_at;\n";
    "adopt-by-name" in "src/domain/node/answers.rs":
        "CallError::NameTaken => {\n                self.state = State::Provisioning { next: Provision::Find };" => "CallError::NameTaken => {\n                self.state = State::Provisioning { next: Provision::Create };";
    "settle-time" in "src/domain/node/answers.rs":
        "if at.now >= self.settled_at(at) {" => "if at.now >= self.state_since {";
    "young-404" in "src/domain/node/answers.rs":
        "|| at.now >= self.settled_at(at);" => "|| at.now >= self.state_since;";
    "late-create-call" in "src/domain/node/answers.rs":
        "if is_proof && self.create_attempts <= 1 {" => "if is_proof && self.create_attempts >= 1 {";
    "unknown-machine-is-deleted" in "src/domain/node/answers.rs":
        "Some(_) | None => effects.push(Effect::Call(Call::Delete(instance.id)))," => "Some(_) | None => {}";
    "ticket-past-its-deadline" in "src/domain/ticket.rs":
        "self.destroy_now || now >= self.hard_deadline" => "self.destroy_now && now >= self.hard_deadline";
    "credential-in-use" in "src/store/credentials.rs":
        "AND NOT EXISTS (SELECT 1 FROM nodes WHERE credential_id = ?1 AND state <> 'gone')" => "";
    "credential-of-a-new-node" in "src/store/nodes.rs":
        "AND c.provider = ?6 AND c.deleted_at_ms IS NULL" => "AND c.provider = ?6";

    "ownership-before-a-deletion" in "src/provider/hetzner.rs":
        "Some(instance) if !mark.owns(&instance) => return Err(not_ours())," => "Some(instance) if !mark.owns(&instance) => {}";
    "ownership-of-both-labels" in "src/provider/instance.rs":
        "installation == self.installation && *node" => "!installation.is_empty() && *node";
    "installation-of-a-sweep" in "src/domain/sweep.rs":
        "if marks.installation.as_deref() != Some(installation) {" => "if marks.installation.is_none() {";
    "patience-of-a-sweep" in "src/domain/sweep.rs":
        "if now.since(since) >= patience" => "if now >= since";
    "row-read-again-by-a-sweep" in "src/app/sweep/inventory.rs":
        "matches!(rows.as_slice(), [row] if row.state == NodeState::Gone)" => "!rows.is_empty()";

    "dry-run-of-a-deletion" in "src/app/sweep/inventory.rs":
        "        if self.mode == Mode::DryRun {\n            return Ok(action(about, false));\n        }\n" => "";
    "dry-run-of-an-end" in "src/app/sweep/inventory.rs":
        "            Ok(None) if !acts => action(SweepActionKind::EndNode, \"The node ends.\", false),\n" => "";
    "dry-run-of-a-decision" in "src/app/sweep/restarts.rs":
        "    if mode == Mode::DryRun {\n        return Ok(());\n    }\n" => "    let _ = mode;\n";
    "dry-run-of-a-restart" in "src/app/sweep/restarts.rs":
        "Restart::At { .. } if mode == Mode::DryRun =>" => "Restart::At { .. } if row.user_id.to_string().is_empty() =>";
    "dry-run-of-a-warm-machine" in "src/app/sweep/warm.rs":
        "Next::Make { .. } if mode == Mode::DryRun =>" => "Next::Make { .. } if row.user_id.to_string().is_empty() =>";
    "dry-run-of-what-is-told-of-a-budget" in "src/app/sweep/budgets.rs":
        "    if mode == Mode::Act {\n        for alert" => "    {\n        for alert";
    "dry-run-of-a-spent-budget" in "src/app/sweep/budgets.rs":
        "        Mode::DryRun => many(p, budgets::not_told(&spenders, ends)).await?," => "        Mode::DryRun => many(p, budgets::tell_nodes(&spenders, ends, now)).await?,";
    "dry-run-of-what-is-overdue" in "src/app/sweep/overdue.rs":
        "let done = mode == Mode::Act && p.wake" => "let done = p.wake";
    "dry-run-of-what-has-had-its-time" in "src/app/sweep/prune.rs":
        "if mode == Mode::Act && !found.is_empty() {" => "if !found.is_empty() {";
    "prunes-workspaces-that-are-gone" in "src/store/prune.rs":
        "SELECT id FROM workspaces WHERE state = 'gone' AND state_since_ms < ?1 ORDER" => "SELECT id FROM workspaces WHERE state_since_ms < ?1 ORDER";
    "prunes-events-of-nodes-that-are-gone" in "src/store/prune.rs":
        "DELETE FROM events WHERE node_id IN (\n               SELECT id FROM nodes WHERE state = 'gone' AND" => "DELETE FROM events WHERE node_id IN (\n               SELECT id FROM nodes WHERE";
    "prunes-workspaces-of-nodes-that-are-gone" in "src/store/prune.rs":
        "DELETE FROM workspaces WHERE node_id IN (\n               SELECT id FROM nodes WHERE state = 'gone' AND" => "DELETE FROM workspaces WHERE node_id IN (\n               SELECT id FROM nodes WHERE";
    "prunes-nodes-that-are-gone" in "src/store/prune.rs":
        "DELETE FROM nodes WHERE id IN (\n               SELECT id FROM nodes WHERE state = 'gone' AND" => "DELETE FROM nodes WHERE id IN (\n               SELECT id FROM nodes WHERE";

    // I4: deadlines.
    "hard-deadline" in "src/domain/node/time.rs":
        "                if lifetime_over =>" => "                if lifetime_over && late && self.places_taken == 0 =>";
    "hard-deadline-is-not-moved" in "src/store/nodes.rs":
        "hard_deadline_at_ms = MIN(hard_deadline_at_ms, ?22)" => "hard_deadline_at_ms = ?22";
    "requested-deadline" in "src/domain/node/time.rs":
        "            State::Requested if late => self.fail(FailureCode::RequestTimeout, at),\n" => "";
    "provisioning-deadline" in "src/domain/node/time.rs":
        "            State::Provisioning { .. } if late => self.fail(FailureCode::ProvisioningTimeout, at),\n" => "";
    "booting-deadline" in "src/domain/node/time.rs":
        "            State::Booting if late => self.fail(FailureCode::BootTimeout, at),\n" => "";
    "early-idle-alarm" in "src/domain/node/time.rs":
        "(0, Some(_)) if self.deadline.is_some_and(|deadline| at.now >= deadline) => {" => "(0, Some(_)) if self.deadline.is_some() => {";
    "early-quarantine-alarm" in "src/domain/node/time.rs":
        "State::Quarantined { code } if late => self.destroy(code, at)," => "State::Quarantined { code } if late || self.places_taken == 0 => self.destroy(code, at),";
    "creating-deadline" in "src/domain/workspace.rs":
        "            (State::Creating, Outlook::Ready { .. } | Outlook::Pending) if late => {\n                self.fail(FailureCode::CreateTimeout, at)\n            }\n" => "";
    "no-alarm-for-a-command-while-it-saves" in "src/domain/workspace.rs":
        "            State::Running | State::Stopped if outlook == Outlook::Pending => None,\n" => "";
    "no-alarms-for-an-agent-that-is-away" in "src/domain/workspace.rs":
        "Outlook::Ready { off_at: Some(_), .. }) if late && self.running => {" => "Outlook::Ready { off_at: Some(_), .. }) if late && self.running && at.now < self.state_since => {";
    "a-request-gives-nothing-up" in "src/app/turn.rs":
        "if !ready || !self.tenancies" => "if !ready || self.tenancies.len() < 99 || !self.tenancies";
    "command-is-repeated" in "src/domain/workspace.rs":
        "            (State::Running | State::Stopped, Outlook::Ready { .. }) if late => self.command(at),\n" => "";
    "creating-deadline-in-its-time" in "src/domain/workspace.rs":
        "if late => {\n                self.fail(FailureCode::CreateTimeout, at)" => "if late || self.running => {\n                self.fail(FailureCode::CreateTimeout, at)";
    "deleting-deadline-in-its-time" in "src/domain/workspace.rs":
        "Outlook::Pending | Outlook::Lost(_)) if late => {\n                self.enter_gone(at)" => "Outlook::Pending | Outlook::Lost(_)) if late || self.holds_place => {\n                self.enter_gone(at)";
    "stop-unheard-in-its-time" in "src/domain/workspace.rs":
        "asked| at.now >= asked + at.timing.stopping)" => "asked| at.now >= asked)";
    "keep-over-in-its-time" in "src/domain/workspace/ending.rs":
        "EndingCause::KeepOver if at.now >= ending.at => {" => "EndingCause::KeepOver if at.now >= self.state_since => {";
    "kept-is-not-deleted" in "src/domain/workspace/ending.rs":
        "                let at = self.keep_alive_until.map_or(at, |until| until.max(at));\n" => "";
    "grace-of-a-budget" in "src/domain/node/time.rs":
        "State::Ready { .. } if self.places_taken == 0 || at.now >= ends => {" => "State::Ready { .. } if self.places_taken == 0 || at.now >= self.state_since => {";
    "save-step-in-its-time" in "src/domain/node/time.rs":
        "let over = late || self.attempt_due(at) || self.link != Link::Up;" => "let over = late || at.now >= self.state_since || self.link != Link::Up;";
    "use-that-is-on-its-way" in "src/domain/workspace/ending.rs":
        "        SLACK.min(self.patience.idle_timeout / 4)\n" => "        SLACK.min(self.patience.idle_timeout / 1_000_000)\n";
    "warnings-are-of-one-end" in "src/domain/workspace/ending.rs":
        "self.warned.filter(|(of, _)| *of == cause).map_or" => "self.warned.filter(|(of, _)| *of == cause || cause != EndingCause::Idle).map_or";
    "answer-about-its-own-machine" in "src/domain/node/answers.rs":
        "is_some_and(|known| known.id == found.id)" => "is_none_or(|known| known.id == found.id)";
    "told-of-a-budget-and-not-awake" in "src/store/sweeps.rs":
        "AND budget_spent_at_ms < ?1 AND state <> 'gone'" => "AND budget_spent_at_ms < ?1 AND state = 'gone'";
    "every-budget-at-once" in "src/store/budgets.rs":
        "OR n.tenant_id IN (SELECT value FROM json_each(?2)))" => "OR ?2 IS NULL)";
    "deleting-deadline" in "src/domain/workspace.rs":
        "            (State::Deleting, Outlook::Ready { .. } | Outlook::Pending | Outlook::Lost(_)) if late => {\n                self.enter_gone(at)\n            }\n" => "";
    "retry-after" in "src/domain/node/answers.rs":
        "asked.map_or(pause, |asked| asked.max(pause))" => "asked.map_or(pause, |asked| asked.min(pause))";

    // I6, I10: epochs, generations, repeats.
    "agent-epoch" in "src/app/agent_report.rs":
        "if turn.node.agent_epoch != agent_epoch {" => "if turn.node.agent_epoch < agent_epoch {";
    "agent-epoch-of-a-hello" in "src/store/nodes.rs":
        "engine = ?4, agent_version = ?5\n         WHERE id = ?1 AND agent_epoch = ?2\"" => "engine = ?4, agent_version = ?5\n         WHERE id = ?1 AND ?2 = ?2\"";
    "agent-epoch-of-a-posture" in "src/store/nodes.rs":
        "AND agent_epoch = ?2 AND (posture_at_ms IS NULL" => "AND (posture_at_ms IS NULL";
    "agent-epoch-of-facts" in "src/store/nodes.rs":
        "AND agent_epoch = ?2 AND (facts_at_ms IS NULL" => "AND ?2 = ?2 AND (facts_at_ms IS NULL";
    "agent-epoch-of-a-boot-step" in "src/store/events.rs":
        "WHERE n.id = ?1 AND n.agent_epoch = ?4\n" => "WHERE n.id = ?1 AND ?4 = ?4\n";
    "agent-epoch-of-what-is-told" in "src/store/events.rs":
        "WHERE n.id = ?1 AND n.agent_epoch = ?6\n" => "WHERE n.id = ?1 AND ?6 = ?6\n";
    "agent-epoch-of-a-workspaces-posture" in "src/store/workspaces.rs":
        "WHERE n.id = ?2 AND n.agent_epoch = ?3)" => "WHERE n.id = ?2 AND ?3 = ?3)";
    "told-of-ones-own-workspaces" in "src/store/events.rs":
        "WHERE w.id = ?2 AND w.node_id = ?1))" => "WHERE w.id = ?2))";
    "measured-in-ones-own-workspaces" in "src/store/workspaces.rs":
        "WHERE id = ?1 AND node_id = ?2 AND state NOT IN" => "WHERE id = ?1 AND state NOT IN";
    "agent-epoch-of-a-token" in "src/app/bootstrap.rs":
        "row.agent_epoch != claims.agent_epoch" => "row.agent_epoch < claims.agent_epoch";
    "key-of-a-token" in "src/app/bootstrap.rs":
        "if claims.cnf.jkt != key.thumbprint {" => "if claims.cnf.jkt.is_empty() {";
    "live-node-of-an-agent" in "src/app/bootstrap.rs":
        "NodeState::Requested | NodeState::Destroying | NodeState::Gone | NodeState::Failed | NodeState::Quarantined => {\n            Err(invalid_token())" => "NodeState::Requested | NodeState::Destroying | NodeState::Gone | NodeState::Failed | NodeState::Quarantined => {\n            Ok(())";
    "quarantine-raises-the-epoch" in "src/domain/node/wishes.rs":
        "                self.agent_epoch = self.agent_epoch.saturating_add(1);\n                self.failure_detail = detail;" => "                self.failure_detail = detail;";
    "destroying-raises-the-epoch" in "src/domain/node.rs":
        "        self.agent_epoch = self.agent_epoch.saturating_add(1);\n        let next" => "        let next";
    "spec-generation" in "src/domain/workspace/reports.rs":
        "            (State::Creating | State::Running | State::Stopped, _) if !current => Err(Denied::Stale),\n" => "";
    "generation-of-a-wish" in "src/domain/workspace.rs":
        "        self.failure_detail = Some(why);\n        self.spec_generation = self.spec_generation.saturating_add(1);\n        self.stop_asked_at" => "        self.failure_detail = Some(why);\n        self.stop_asked_at";
    "generation-of-a-removal" in "src/domain/workspace.rs":
        "            State::Creating | State::Running | State::Stopped | State::Failed { .. } => {\n                self.spec_generation = self.spec_generation.saturating_add(1);" => "            State::Creating | State::Running | State::Stopped | State::Failed { .. } => {";
    "strays-are-removed" in "src/app/agent_report.rs":
        "    if report.phase != WorkspacePhase::Absent {" => "    if report.phase == WorkspacePhase::Failed {";
    "idempotency-key" in "src/app/request_workspace.rs":
        "    extra.extend(repeatable.statement(&id.to_string(), now));\n" => "";
    "idempotency-constraint" in "src/store/idempotency.rs":
        "CASE WHEN idempotency_keys.created_at_ms <= ?7 THEN excluded.created_at_ms END" => "CASE WHEN ?7 = ?7 THEN excluded.created_at_ms END";
    // Nothing is killed while it works, and nothing works on for nobody.
    "idle-since-its-last-use" in "src/domain/workspace/ending.rs":
        "let used = self.last_use?.until.max(self.state_since);" => "let used = self.last_use.map_or(self.state_since, |_| self.state_since);";
    "untold-is-not-idle" in "src/domain/workspace/ending.rs":
        "let used = self.last_use?.until.max(self.state_since);" => "let used = self.last_use.map_or(self.state_since, |used| used.until.max(self.state_since));";
    "kept-is-not-idle" in "src/domain/workspace/ending.rs":
        "Some(self.keep_alive_until.map_or(idle, |until| until.max(idle)))" => "Some(idle)";
    "away-is-not-idle" in "src/domain/workspace/ending.rs":
        "            (State::Running | State::Stopped, Some(at)) if self.running => {" => "            (State::Creating, Some(at)) if self.running => {";
    "away-ends" in "src/domain/workspace/ending.rs":
        "            EndingCause::AgentAway if at.now >= ending.at => self.stopped_with_its_machine(at),\n" => "";
    "away-at-the-write" in "src/app/turn.rs":
        "self.node.link != node::Link::Up\n            &&" => "self.node.link == node::Link::Never\n            &&";
    "lease-is-finite" in "src/domain/workspace/ending.rs":
        "ends.min(at.now + at.timing.lease_max)" => "ends";
    "use-is-not-ahead" in "src/domain/workspace/ending.rs":
        "activity.at.min(at.now)" => "activity.at";
    "agent-lost-ends-an-empty-node" in "src/domain/node/time.rs":
        "(0, Some(_)) if self.off_at(at.timing).is_some_and(|off| at.now >= off) => {" => "(0, Some(_)) if self.off_at(at.timing).is_some_and(|_| false) => {";
    "arm-for-a-lost-link" in "src/app/agent_report.rs":
        "    armed(p, id, link_closed(p, id, seen_at)).await" => "    link_closed(p, id, seen_at).await";
    "late-end-of-an-older-link" in "src/store/nodes.rs":
        "connected_at_ms = ?3, last_hello" => "connected_at_ms = COALESCE(connected_at_ms, ?3), last_hello";
    "end-of-an-older-link" in "src/store/nodes.rs":
        "disconnected_at_ms = ?2 WHERE id = ?1 AND connected_at_ms < ?2" => "disconnected_at_ms = ?2 WHERE id = ?1";
    "unwatched-ends" in "src/app/sweep/overdue.rs":
        "    if look == Look::Close {" => "    if look == Look::Quick {";
    "budget-is-heeded" in "src/domain/node.rs":
        "Ok(self.heed_budget(at).unwrap_or_else(|| self.tick(at)))" => "Ok(self.tick(at))";
    "money-of-a-former-machine" in "src/domain/node/answers.rs":
        "self.former = self.instance.take()" => "let _ = self.instance.take()";
    "saves-before-its-ticket" in "src/app/drive_node.rs":
        "matches!(turn.node.state, State::Destroying { .. }) && !saving" => "matches!(turn.node.state, State::Destroying { .. })";
    "pause-before-a-create-call" in "src/app/drive_node.rs":
        "                statements.push(switches::require_provisioning());\n" => "";
    "forgets-only-what-is-stuck" in "src/domain/node/wishes.rs":
        "            State::Destroying { .. } if self.is_stuck() =>" => "            State::Destroying { .. } =>";
    "forgets-only-what-is-typed" in "src/app/forget_node.rs":
        "if params.confirm != id.to_string() {" => "if params.confirm == id.to_string().to_uppercase() {";
    "restart-once" in "src/app/sweep/restarts.rs":
        "            restarts::require_undecided(ended.id),\n" => "";
    "restart-of-what-was-wanted" in "src/domain/restart.rs":
        "    if WANTED.contains(&code) {" => "    if code == FailureCode::Deleted {";
    "restarts-have-an-end" in "src/domain/restart.rs":
        "    if before >= MAX_RESTARTS {" => "    if before > MAX_RESTARTS * 2 {";
    "ephemeral-is-its-creators" in "src/store/tenants.rs":
        "n.state <> 'gone' AND n.isolation <> 'ephemeral' AND (w." => "n.state <> 'gone' AND (w.";
    "tenant-of-what-a-tenant-admin-sees" in "src/store/tenants.rs":
        "WHERE n.tenant_id = ?1 AND n.state <> 'gone' AND n.isolation" => "WHERE ?1 = ?1 AND n.state <> 'gone' AND n.isolation";
    "ceiling-of-a-network" in "src/domain/container.rs":
        "Some(asked) if asked > bound.max => {" => "Some(asked) if asked < NetworkMode::None => {";
    "registries-of-images" in "src/domain/container.rs":
        "    if !is_from(image::name_of(&image), &limits.image_registries) {" => "    if false {";
    "owner-of-a-node-that-an-admin-ends" in "src/app/suspended_nodes.rs":
        "owner.is_some_and(|owner| owner.state == UserState::Active)" => "owner.is_none()";
}
