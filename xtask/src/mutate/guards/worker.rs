//! Guards of the Worker's shell, which is compiled for workerd only: each names the tests of the whole that see it.

guards! {
    within Worker:

    // I6: who opens a socket, and for how long.
    "proof-opens-one-link" in "src/durable/node_object.rs" seen by "a_proof_opens_one_link":
        "                if !self.first_use(proof_jti).await? {" => "                if !self.first_use(proof_jti).await? && agent_epoch < 0 {";
    "revocation-closes-what-is-open" in "src/durable/node_object.rs" seen by "what_a_session_or_token_had_open":
        "                        relay::end_viewer(&self.state, &self.sockets, &viewer, close_code::REVOKED, \"revoked\");\n" => "                        let _ = viewer;\n";
    "session-that-ends-closes-what-is-open" in "src/durable/alarm.rs" seen by "a_session_that_ends_by_itself":
        "            if ends_at <= now {" => "            if ends_at.get() <= 0 {";
    "origin-of-a-change" in "src/http/extract.rs" seen by "a_change_with_a_cookie_needs_exactly_our_origin":
        "                origin::require(&parts.headers, &app.config.origins)?;\n" => "";
    "origin-of-a-socket" in "src/http/viewer.rs" seen by "a_socket_opens_only_from_our_origin":
        "    origin::require(headers, &app.config.origins)?;\n" => "";
}
