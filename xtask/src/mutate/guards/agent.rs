//! Guards of the agent that tests see without root and without a container engine.

guards! {
    within Agent:

    // I6: what is older than what is known changes nothing.
    "agent-older-generation" in "vm-agent/src/workspaces/table.rs":
        "if spec_generation < entry.spec_generation || (is_buried && spec_generation == entry.spec_generation) {" => "if is_buried && spec_generation == entry.spec_generation {";
    "agent-late-command-after-a-removal" in "vm-agent/src/workspaces/table.rs":
        "if spec_generation < entry.spec_generation || (is_buried && spec_generation == entry.spec_generation) {" => "let _ = is_buried;\n            if spec_generation < entry.spec_generation {";
    "agent-older-removal" in "vm-agent/src/workspaces/table.rs":
        "newest.is_some_and(|newest| spec_generation < newest)" => "newest.is_some_and(|newest| spec_generation < newest && newest < 0)";
    "agent-newest-wish-after-an-operation" in "vm-agent/src/node/operations.rs":
        "        if wanted != Some(done.spec_generation) {" => "        if wanted < Some(done.spec_generation) {";

    // Who looks into a workspace: the agent checks tokens by itself (I6).
    "agent-signature-of-a-token" in "vm-agent/src/workspace_token.rs":
        "    let verified =\n        Ed25519.validator::<Issued<WorkspaceClaims>>(&key).validate(&untrusted).map_err(|_| Refusal::Forged)?;\n    let now = instant(expected.now).ok_or(Refusal::Expired)?;\n    let time = TimeOptions::new(chrono::Duration::seconds(LEEWAY_SECS), || now);\n    let claims = verified.claims();\n" => "    let _ = key;\n    let claims = untrusted.deserialize_claims_unchecked::<Issued<WorkspaceClaims>>().map_err(|_| Refusal::Forged)?;\n    let now = instant(expected.now).ok_or(Refusal::Expired)?;\n    let time = TimeOptions::new(chrono::Duration::seconds(LEEWAY_SECS), || now);\n    let claims = &claims;\n";
    "agent-end-of-a-token" in "vm-agent/src/workspace_token.rs":
        "    claims.validate_expiration(&time).map_err(|_| Refusal::Expired)?;\n" => "";
    "agent-begin-of-a-token" in "vm-agent/src/workspace_token.rs":
        "    if claims.not_before.is_some() && claims.validate_maturity(&time).is_err() {" => "    if claims.not_before.is_some() && claims.validate_maturity(&time).is_err() && now.timestamp() < 0 {";
    "agent-node-of-a-token" in "vm-agent/src/workspace_token.rs":
        "        || token.node != expected.node\n" => "";
    "agent-workspace-of-a-token" in "vm-agent/src/workspace_token.rs":
        "        || token.workspace != expected.workspace\n" => "";
    "agent-kind-of-a-token" in "vm-agent/src/workspace_token.rs":
        "if header.token_type.as_deref() != Some(WorkspaceClaims::TYPE) {" => "if header.token_type.is_none() {";
    "agent-audience-of-a-token" in "vm-agent/src/workspace_token.rs":
        "        || issued.aud != WorkspaceClaims::AUDIENCE\n" => "";
    "agent-issuer-of-a-token" in "vm-agent/src/workspace_token.rs":
        "    if issued.iss != expected.issuer\n        || " => "    if ";
    "agent-right-to-look" in "vm-agent/src/workspace_token.rs":
        "    if !may_read {" => "    if !may_read && !may_write {";
    "agent-right-to-type" in "vm-agent/src/workspace_token.rs":
        "read_only: !may_write" => "read_only: !may_write && !may_read";
    "agent-read-only-types-nothing" in "vm-agent/src/terminal/core.rs":
        "            ViewerFrame::Resize { .. } | ViewerFrame::Input { .. } if viewer.read_only => None,\n" => "";
    "agent-revoked-comes-no-more" in "vm-agent/src/node/channels.rs":
        "if self.revoked.contains(&admission.sid) {" => "if self.revoked.len() > MAX_REVOKED {";
    "agent-revoked-goes" in "vm-agent/src/node/channels.rs":
        "filter(|(_, open)| open.sid == sid)" => "filter(|(_, open)| open.sid != open.sid)";
    "agent-revocation-is-for-one" in "vm-agent/src/node/channels.rs":
        "filter(|(_, open)| open.sid == sid)" => "filter(|(_, open)| open.sid == open.sid)";
    "agent-looks-into-what-runs" in "vm-agent/src/node/operations.rs":
        "if spec.running && entry.phase == WorkspacePhase::Running => Some" => "if spec.running || entry.phase == WorkspacePhase::Stopped => Some";
    "agent-keys-are-asked-for-once" in "vm-agent/src/node/keys.rs":
        "self.waiting.len() >= MAX_WAITING || (asked_lately && !self.is_asking)" => "self.waiting.len() >= MAX_WAITING && !asked_lately";
    "agent-keys-of-now" in "vm-agent/src/node/keys.rs":
        "            Ok(keys) => self.key_fetches.newest = Some((keys, Instant::now())),\n" => "            Ok(_) => {}\n";

    // I3, I7, I12: keys and tokens of the machine itself.
    "agent-proof-of-possession" in "vm-agent/src/control_plane.rs":
        "header(AUTHORIZATION, authorization).header(DPOP, proof)" => "header(AUTHORIZATION, authorization).header(DPOP_NONCE, proof)";
    "agent-nonce-of-a-proof" in "vm-agent/src/control_plane.rs":
        "nonce: self.nonce().clone() }" => "nonce: None }";
    "agent-key-before-its-use" in "vm-agent/src/identity.rs":
        "        disk::write_private(path, text.as_bytes())?;\n" => "        let _ = text;\n";
    "agent-damaged-key-is-not-replaced" in "vm-agent/src/identity.rs":
        "map(Zeroizing::new).map_err(|_| IdentityError::Damaged)?;" => "map(Zeroizing::new).unwrap_or_else(|_| Zeroizing::new(vec![7; 32]));";
    "agent-grant-before-its-use" in "vm-agent/src/bootstrap.rs":
        "                grant::store(grant_path, &answer)?;\n" => "                let _ = grant_path;\n";
    "agent-token-is-erased" in "vm-agent/src/config.rs":
        "        disk::write_private(path, &text)?;\n" => "        let _ = (path, text);\n";
    "agent-copies-of-the-token-are-removed" in "vm-agent/src/bootstrap.rs":
        "        if let Err(error) = disk::remove_if_there(path) {" => "        if let Err(error) = disk::read_if_there(path) {";
    "agent-files-are-private" in "vm-agent/src/disk.rs":
        "create_new(true).mode(0o600).open(&draft)" => "create_new(true).mode(0o644).open(&draft)";
    "agent-one-in-a-state-directory" in "vm-agent/src/disk.rs":
        "match file.try_lock() {" => "match Ok::<(), TryLockError>(()) {";
    "agent-secrets-are-never-on-disk" in "vm-agent/src/workspaces/container/secrets.rs":
        "            self.must_be_in_memory()?;\n" => "            let _ = self.must_be_in_memory();\n";
    "agent-secrets-are-their-owners" in "vm-agent/src/workspaces/container/secrets.rs":
        "create_new(true).mode(0o400).open(&draft)" => "create_new(true).mode(0o444).open(&draft)";
    "agent-names-of-secrets" in "vm-agent/src/workspaces/container/secrets.rs":
        "!name.starts_with('.') && name.bytes().all(is_plain)" => "name.bytes().all(is_plain)";
    "agent-user-data-is-erased" in "vm-agent/src/host/erase.rs":
        "                copies.extend(entries(&instance.join(part)));\n" => "                let _ = instance.join(part);\n";
    "agent-origin-is-encrypted" in "vm-agent/src/origin.rs":
        "\"http\" if is_near(host) => {}" => "\"http\" if is_near(host) || host.contains('.') => {}";
    "agent-origin-and-no-more" in "vm-agent/src/origin.rs":
        "        if !bare {" => "        if !bare && url.path() == \"/\" {";

    // I4: nothing works on that nobody can see.
    "agent-dead-man" in "vm-agent/src/dead_man.rs":
        "silent.filter(|(_, left)| left.is_zero()).map(|(after, _)| Reason::Silence(after))" => "silent.filter(|(after, left)| left > after).map(|(after, _)| Reason::Silence(after))";
    "agent-hard-deadline" in "vm-agent/src/dead_man.rs":
        "clock.until(deadline + OVERTIME, now)" => "clock.until(deadline + OVERTIME * 1_000, now)";
    "agent-silence-outlives-a-restart" in "vm-agent/src/dead_man.rs":
        "                dead_man.last = known.min(dead_man.last);\n" => "                let _ = known;\n";
    "agent-silence-is-of-one-boot" in "vm-agent/src/dead_man.rs":
        "(contact.boot_id == self.boot_id).then(" => "(!contact.boot_id.is_empty()).then(";
    "agent-switches-off-without-a-link" in "vm-agent/src/agent.rs":
        "if self.is_over() { return Meanwhile::SwitchedOff }," => "{ let _ = self.is_over(); },";
    "agent-switches-off-on-a-link" in "vm-agent/src/agent.rs":
        "Event::DeadMan if self.is_over() => {" => "Event::DeadMan if self.is_over() && !self.has_dialed => {";
    "agent-switches-off-before-a-link" in "vm-agent/src/agent.rs":
        "reason = dead_man.until_due() => {" => "reason = dead_man.until_due(), if options.state_dir.as_os_str().is_empty() => {";
    "agent-saves-before-it-is-off" in "vm-agent/src/agent.rs":
        "        self.node.save_and_end().await;\n" => "";
    "agent-lease-is-finite" in "vm-agent/src/node/assistant.rs":
        "                let lease = lease.min(LONGEST_TURN);\n" => "";
    "agent-wish-to-stay-awake-is-bounded" in "vm-agent/src/node/assistant.rs":
        "                let time = time.min(self.constants.keep_awake_max);\n" => "";
    "agent-lease-ends" in "vm-agent/src/activity.rs":
        "        self.lease = self.lease.filter(|lease| *lease > now);\n" => "";
    "agent-wish-to-stay-awake-ends" in "vm-agent/src/activity.rs":
        "        self.awake = self.awake.filter(|until| *until > now);\n" => "";
    "agent-restart-is-no-use" in "vm-agent/src/activity.rs":
        "        if is_new {\n" => "        if is_new || idle_timeout_secs.is_some() {\n";
    "agent-drawn-anew-is-no-use" in "vm-agent/src/activity.rs":
        "if resized == 0 || stamp.saturating_sub(resized) > within {" => "if resized == 0 || stamp.saturating_sub(resized) <= within || resized > within {";

    // One assistant, and a socket that stands what a workspace says to it.
    "agent-one-assistant" in "vm-agent/src/workspaces/assistant_lock.rs":
        "if let Some(holder) = self.holders.get(&workspace_id) {" => "if let Some(holder) = self.holders.get(&workspace_id).filter(|holder| holder.name == name) {";
    "agent-lock-of-the-next-one" in "vm-agent/src/workspaces/assistant_lock.rs":
        "        if self.is_held(hold) {\n" => "        if self.taken > 0 {\n";
    "agent-stop-frees-the-lock" in "vm-agent/src/workspaces/assistant_lock.rs":
        "workspace_stopped(&mut self, workspace_id: WorkspaceId) {\n        self.holders.remove(&workspace_id);\n" => "workspace_stopped(&mut self, workspace_id: WorkspaceId) {\n        let _ = workspace_id;\n";
    "agent-end-of-a-connection-frees-the-lock" in "vm-agent/src/workspaces/agent_socket.rs":
        "        if let Some(hold) = self.hold.take() {" => "        if let Some(hold) = self.hold.take().filter(|_| self.workspace_id.to_string().is_empty()) {";
    "agent-lines-at-a-socket-end" in "vm-agent/src/workspaces/agent_socket.rs":
        "(&mut self.reader).take(MAX_LINE_BYTES as u64)" => "(&mut self.reader).take(u64::MAX)";

    // The firewall, looked at again and again.
    "agent-missing-rules-are-restored" in "vm-agent/src/host/watch.rs":
        "        Ok(seen) if seen.differences.is_empty() => return Tended::Stands,\n" => "        Ok(seen) if seen.rules == 0 => return Tended::Stands,\n";
    "agent-firewall-that-says-no" in "vm-agent/src/host/watch.rs":
        "        Err(NoAnswer::Refused(error)) => error,\n" => "        Err(NoAnswer::Refused(error)) => return Tended::Unseen(error),\n";
    "agent-unseen-for-long-is-lost" in "vm-agent/src/host/watch.rs":
        "if self.looks >= MAX_UNSEEN {" => "if self.looks >= MAX_UNSEEN * 10 {";
    "agent-a-rule-too-much" in "vm-agent/src/host/firewall.rs":
        "found.get(wanted.len()).map(|more|" => "found.get(wanted.len() + 99).map(|more|";
    "agent-a-rule-in-anothers-place" in "vm-agent/src/host/firewall.rs":
        "Some(found) if found.words == rule.words => {}" => "Some(found) if found.words.len() == rule.words.len() || found.packets == rule.packets => {}";
    "agent-lost-starts-nothing" in "vm-agent/src/node/operations.rs":
        "let is_to_run = self.lost.is_none() && matches!(" => "let is_to_run = matches!(";
    "agent-lost-stops-everything" in "vm-agent/src/node.rs":
        "        for workspace_id in self.table.ids_to_work_on() {\n            self.operate(workspace_id);\n        }\n" => "";

    // The walls of a container.
    "agent-read-only-root" in "vm-agent/src/workspaces/container/create.rs":
        "readonly_rootfs: Some(true)" => "readonly_rootfs: Some(false)";
    "agent-no-capabilities" in "vm-agent/src/workspaces/container/create.rs":
        "        cap_drop: Some(vec![\"ALL\".into()]),\n" => "";
    "agent-no-new-privileges" in "vm-agent/src/workspaces/container/create.rs":
        "vec![\"no-new-privileges\".to_owned()]" => "Vec::<String>::new()";
    "agent-seccomp" in "vm-agent/src/workspaces/container/create.rs":
        "    security.extend(plan.seccomp.iter().map(|profile| format!(\"seccomp={profile}\")));\n" => "    security.truncate(1);\n";
    "agent-pids" in "vm-agent/src/workspaces/container/create.rs":
        "        pids_limit: Some(i64::from(spec.pids_limit)),\n" => "";
    "agent-memory" in "vm-agent/src/workspaces/container/create.rs":
        "        memory_swap: Some(memory),\n" => "";
    "agent-restricted-is-no-network" in "vm-agent/src/workspaces/container/create.rs":
        "Connection::None | Connection::Proxy => (\"none\".to_owned(), None)," => "Connection::None => (\"none\".to_owned(), None),\n        Connection::Proxy => (\"bridge\".to_owned(), None),";
    "agent-mounts-that-are-read-only" in "vm-agent/src/workspaces/container/create.rs":
        "            read_only: Some(true),\n" => "";
    "agent-environment-is-ours" in "vm-agent/src/workspaces/container/create.rs":
        "!name.is_empty() && !name.starts_with(\"RINGFENCE_\") && " => "!name.is_empty() && ";
    "agent-seccomp-refuses" in "vm-agent/src/workspaces/container/seccomp.rs":
        "            names.retain(|name| name.as_str().is_some_and(|name| !is_ours(name)));\n" => "            names.retain(serde_json::Value::is_string);\n";
    "agent-seccomp-of-a-denying-profile" in "vm-agent/src/workspaces/container/seccomp.rs":
        "if !matches!(default, \"SCMP_ACT_ERRNO\" |" => "if default.is_empty() && !matches!(default, \"SCMP_ACT_ERRNO\" |";
    "agent-domains-are-domains" in "vm-agent/src/workspaces/container/proxy.rs":
        "        if !is_domain(domain) {" => "        if domain.is_empty() {";
    "agent-registry-is-outside" in "vm-agent/src/workspaces/container/reference.rs":
        "            Ok(address) if addresses::is_internal(address) => Err(self.forbidden()),\n" => "";
    "agent-registry-is-no-number" in "vm-agent/src/workspaces/container/reference.rs":
        "            Err(_) if ends_in_a_number(host) => Err(self.forbidden()),\n" => "";
    "agent-registry-resolves-to-the-outside" in "vm-agent/src/workspaces/container/reference.rs":
        "if found.iter().any(addresses::is_internal) { Err(self.forbidden()) } else { Ok(()) }" => "let _ = found;\n        Ok(())";
    "agent-registry-that-is-allowed" in "vm-agent/src/workspaces/container/reference.rs":
        "        if is_from(&self.name(), allowed) {" => "        if is_from(&self.name(), allowed) || !allowed.is_empty() {";
}
