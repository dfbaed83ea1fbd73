//! The OpenAPI 3.1 document, made from the routes and the types themselves, so that it cannot tell anything else than the code.
//!
//! Native tools only (feature `schema`): the Worker serves the committed `docs/openapi.json`, which a test compares with
//! what this makes. `cargo run -p ringfence-protocol --features schema --example openapi > docs/openapi.json` writes it anew.

mod document;
mod operations;

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};

pub use self::document::Document;
use self::document::{
    Components, Content, Header, In, Info, Operation, Parameter, RequestBody, Response, ResponseOrRef, SecurityScheme,
};
use self::operations::{Exchange, Success, of};
use crate::problem::{ErrorCode, PROBLEM_CONTENT_TYPE, Problem};
use crate::routes::{self, Endpoint, Method, Principal};
use crate::views::SocketMessage;
use crate::{PROTOCOL_VERSION, SUBPROTOCOL};

/// A route that [`operations`] does not describe yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undescribed(pub &'static str);

impl std::fmt::Display for Undescribed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "protocol/src/openapi/operations.rs does not describe {}", self.0)
    }
}

impl std::error::Error for Undescribed {}

/// The whole document.
pub fn document() -> Result<Document, Undescribed> {
    let mut generator = generator();
    let mut paths: BTreeMap<&'static str, BTreeMap<&'static str, Operation>> = BTreeMap::new();
    for endpoint in routes::ALL {
        let exchange = of(endpoint).ok_or(Undescribed(endpoint.operation))?;
        let operation = operation(endpoint, &exchange, &mut generator);
        paths.entry(endpoint.path).or_default().insert(method_key(endpoint.method), operation);
    }
    let problem = generator.subschema_for::<Problem>();
    // No answer has it as its body: it is what the events socket sends.
    generator.subschema_for::<SocketMessage>();
    Ok(Document {
        openapi: "3.1.1",
        info: Info {
            title: "Ringfence",
            version: PROTOCOL_VERSION.to_string(),
            summary: "One user per VM. Hard boundaries. Your own cloud.",
            description: ABOUT,
            license: document::License { name: "Apache-2.0", identifier: "Apache-2.0" },
        },
        servers: [document::Server { url: "/", description: "The installation this document was read from." }],
        paths,
        components: Components {
            responses: problem_responses(&problem),
            security_schemes: security_schemes(),
            schemas: generator.take_definitions(true).into_iter().collect(),
        },
    })
}

const ABOUT: &str = "JSON in and out, snake_case. Instants are RFC 3339 in UTC (`…_at`), durations `…_secs`, sizes `…_bytes`, \
money a decimal string with its currency. Lists are pages: follow `next_cursor`. What takes time answers 202 with the view, whose \
`state` and `row_version` tell the rest. Errors are `application/problem+json` with a stable `code` (docs/errors.md). Unknown fields \
in requests are refused; answers may gain fields. A browser's requests that change something must come from this very origin.";

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            // Meta-schema and title belong to a document of its own, not to a part of this one.
            settings.meta_schema = None;
        })
        .into_generator()
}

const fn method_key(method: Method) -> &'static str {
    match method {
        Method::Get => "get",
        Method::Post => "post",
        Method::Put => "put",
        Method::Delete => "delete",
    }
}

fn operation(endpoint: &Endpoint, exchange: &Exchange, generator: &mut SchemaGenerator) -> Operation {
    let mut parameters = path_parameters(endpoint.path);
    if let Some(query) = exchange.query {
        parameters.extend(query_parameters(&query(generator)));
    }
    parameters.extend(header_parameters(endpoint, exchange));
    let request_body = exchange.body.map(|(body, written_out)| RequestBody {
        // No body at all stands for an empty object.
        required: written_out(generator).get("required").is_some(),
        content: Content::of("application/json", body(generator)),
    });
    let mut responses: BTreeMap<String, ResponseOrRef> = BTreeMap::new();
    responses.insert(exchange.success.status.to_string(), success(&exchange.success, generator));
    for status in error_statuses(endpoint, exchange) {
        responses.insert(status.to_string(), ResponseOrRef::reference(&problem_name(status)));
    }
    Operation {
        operation_id: endpoint.operation,
        summary: endpoint.summary,
        description: exchange.notes,
        tags: [tag(endpoint)],
        security: security(endpoint.principal),
        parameters,
        request_body,
        responses,
    }
}

fn tag(endpoint: &Endpoint) -> &'static str {
    let mut segments = endpoint.path.split('/').skip(1);
    match (segments.next(), segments.next()) {
        (Some("api"), Some(area)) if area != "openapi.json" => area,
        (Some("agent"), _) => "agent",
        _ => "installation",
    }
}

/// Every placeholder in a path is an identifier.
fn path_parameters(path: &str) -> Vec<Parameter> {
    path.split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| Parameter {
            name: name.to_owned(),
            place: In::Path,
            required: true,
            description: None,
            schema: schemars::json_schema!({ "type": "string" }),
        })
        .collect()
}

/// A query's type is an object; each of its properties is a parameter.
fn query_parameters(schema: &Schema) -> Vec<Parameter> {
    let member = |name| schema.get(name);
    let required: Vec<&str> =
        member("required").and_then(|r| r.as_array()).into_iter().flatten().filter_map(|name| name.as_str()).collect();
    member("properties")
        .and_then(|properties| properties.as_object())
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            let description = schema
                .as_object_mut()
                .and_then(|schema| schema.remove("description"))
                .and_then(|text| text.as_str().map(str::to_owned));
            Parameter {
                name: name.clone(),
                place: In::Query,
                required: required.contains(&name.as_str()),
                description,
                schema: Schema::try_from(schema).unwrap_or_default(),
            }
        })
        .collect()
}

fn header_parameters(endpoint: &Endpoint, exchange: &Exchange) -> Vec<Parameter> {
    let header = |name: &str, required, description: String| Parameter {
        name: name.into(),
        place: In::Header,
        required,
        description: Some(description),
        schema: schemars::json_schema!({ "type": "string" }),
    };
    let mut parameters = Vec::new();
    if exchange.idempotent {
        parameters.push(header(
            "Idempotency-Key",
            false,
            "A text of your own, 1 to 128 visible ASCII characters. The same key with the same body within 24 hours gets the first answer again; with \
             another body, 409 `idempotency_mismatch`."
                .into(),
        ));
    }
    match endpoint.principal {
        Principal::Public
        | Principal::User
        | Principal::Session
        | Principal::TenantAdmin
        | Principal::Admin
        | Principal::Gateway
        | Principal::Machine => {}
        Principal::Viewer => {
            parameters.push(header(
                "Sec-WebSocket-Protocol",
                true,
                format!("`{SUBPROTOCOL}` and the workspace token, in this order. The answer echoes `{SUBPROTOCOL}` only."),
            ));
            parameters.push(header("Origin", true, "The installation's own origin, exactly.".into()));
        }
        Principal::NewAgent | Principal::Agent => parameters.push(header(
            "DPoP",
            true,
            "Proof of possession (RFC 9449) with the nonce of the last `DPoP-Nonce` header. Without a fresh one: 401 `use_dpop_nonce`, \
             with one to use."
                .into(),
        )),
    }
    parameters
}

fn security(principal: Principal) -> Vec<BTreeMap<&'static str, [&'static str; 0]>> {
    let any_of = |schemes: &[&'static str]| schemes.iter().map(|scheme| BTreeMap::from([(*scheme, [])])).collect();
    match principal {
        Principal::Public => Vec::new(),
        Principal::User | Principal::TenantAdmin | Principal::Admin => any_of(&["session", "api_token"]),
        Principal::Session => any_of(&["session"]),
        Principal::Viewer => any_of(&["workspace_token"]),
        Principal::Gateway => any_of(&["gateway_token"]),
        Principal::NewAgent | Principal::Machine => any_of(&["bootstrap_token"]),
        Principal::Agent => any_of(&["callback_token"]),
    }
}

fn security_schemes() -> BTreeMap<&'static str, SecurityScheme> {
    BTreeMap::from([
        (
            "session",
            SecurityScheme::ApiKey {
                place: In::Cookie,
                name: "__Host-session",
                description: "A signed-in browser. What changes something needs this site's exact Origin.",
            },
        ),
        (
            "api_token",
            SecurityScheme::Http {
                scheme: "bearer",
                bearer_format: Some("rf_…"),
                description: "An API token. It cannot manage sessions or API tokens.",
            },
        ),
        (
            "workspace_token",
            SecurityScheme::ApiKey {
                place: In::Header,
                name: "Sec-WebSocket-Protocol",
                description: "A workspace token, offered as the second subprotocol.",
            },
        ),
        (
            "gateway_token",
            SecurityScheme::Http {
                scheme: "bearer",
                bearer_format: Some("rfg_…"),
                description: "The token of a dedicated node. It opens one view of that node and nothing else.",
            },
        ),
        (
            "bootstrap_token",
            SecurityScheme::Http {
                scheme: "bearer",
                bearer_format: Some("JWT"),
                description: "The one-use token of a node's user-data; no key is bound to it yet. The `DPoP` header shows which one it will be.",
            },
        ),
        (
            "callback_token",
            SecurityScheme::Http {
                scheme: "DPoP",
                bearer_format: None,
                description: "The token of a node's agent, with a proof of the key it is bound to.",
            },
        ),
    ])
}

fn success(success: &Success, generator: &mut SchemaGenerator) -> ResponseOrRef {
    let mut headers = BTreeMap::new();
    if success.sets_session {
        headers.insert("Set-Cookie", Header::text("`__Host-session`: HttpOnly, Secure, SameSite=Lax, 7 days."));
    }
    if success.status == 101 {
        headers.insert("Sec-WebSocket-Protocol", Header::text("`ringfence.v1`."));
    }
    ResponseOrRef::Response(Response {
        description: success.description.into(),
        headers,
        content: success.body.map(|body| Content::of(success.content_type, body(generator))),
    })
}

/// The statuses an endpoint's errors can have.
fn error_statuses(endpoint: &Endpoint, exchange: &Exchange) -> Vec<u16> {
    let mut statuses = vec![500, 503];
    match endpoint.principal {
        Principal::Public => {}
        Principal::User | Principal::Session | Principal::TenantAdmin | Principal::Admin => statuses.extend([401, 403]),
        Principal::Viewer => statuses.extend([401, 403, 404, 426]),
        Principal::Gateway => statuses.extend([401, 404]),
        Principal::NewAgent | Principal::Machine => statuses.push(401),
        Principal::Agent => statuses.extend([401, 403]),
    }
    if endpoint.websocket {
        statuses.push(426);
    }
    if exchange.query.is_some() {
        statuses.push(400);
    }
    if exchange.body.is_some() {
        statuses.extend([400, 413, 415]);
    }
    if endpoint.path.contains('{') {
        statuses.push(404);
    }
    if exchange.idempotent {
        statuses.push(409);
    }
    statuses.extend(exchange.errors.iter().map(|code| code.status()));
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn problem_name(status: u16) -> String {
    format!("Problem{status}")
}

/// One reusable answer for each status that an error code has.
fn problem_responses(problem: &Schema) -> BTreeMap<String, Response> {
    let mut codes: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for code in ErrorCode::ALL {
        codes.entry(code.status()).or_default().push(*code);
    }
    codes
        .into_iter()
        .map(|(status, codes)| {
            let words: Vec<String> = codes.iter().map(|code| format!("`{code}`: {}.", code.title())).collect();
            let mut headers = BTreeMap::new();
            if codes.contains(&ErrorCode::UseDpopNonce) {
                headers.insert("DPoP-Nonce", Header::text("The nonce for the next proof, on `/agent/…` only."));
            }
            let response = Response {
                description: words.join(" "),
                headers,
                content: Some(Content::of(PROBLEM_CONTENT_TYPE, problem.clone())),
            };
            (problem_name(status), response)
        })
        .collect()
}

/// The schema of a type, as a reference where it has a name.
fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The schema of a type, written out.
fn inline_schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}
