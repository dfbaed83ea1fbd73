//! The parts of an OpenAPI 3.1 document that Ringfence uses.

use std::collections::BTreeMap;

use schemars::Schema;
use serde::Serialize;
use serde_json::Value;

/// The document.
#[derive(Debug, Serialize)]
pub struct Document {
    pub(super) openapi: &'static str,
    pub(super) info: Info,
    pub(super) servers: [Server; 1],
    pub(super) paths: BTreeMap<&'static str, BTreeMap<&'static str, Operation>>,
    pub(super) components: Components,
}

#[derive(Debug, Serialize)]
pub(super) struct Info {
    pub(super) title: &'static str,
    pub(super) version: String,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) license: License,
}

#[derive(Debug, Serialize)]
pub(super) struct License {
    pub(super) name: &'static str,
    pub(super) identifier: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Server {
    pub(super) url: &'static str,
    pub(super) description: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Operation {
    pub(super) operation_id: &'static str,
    pub(super) summary: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<&'static str>,
    pub(super) tags: [&'static str; 1],
    pub(super) security: Vec<BTreeMap<&'static str, [&'static str; 0]>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) parameters: Vec<Parameter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_body: Option<RequestBody>,
    pub(super) responses: BTreeMap<String, ResponseOrRef>,
}

#[derive(Debug, Serialize)]
pub(super) struct Parameter {
    pub(super) name: String,
    #[serde(rename = "in")]
    pub(super) place: In,
    pub(super) required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    pub(super) schema: Schema,
}

/// Where a parameter or a key is carried.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum In {
    Path,
    Query,
    Header,
    Cookie,
}

#[derive(Debug, Serialize)]
pub(super) struct RequestBody {
    pub(super) required: bool,
    pub(super) content: Content,
}

/// One media type and its schema.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Content(BTreeMap<&'static str, MediaType>);

impl Content {
    pub(super) fn of(media_type: &'static str, schema: Schema) -> Self {
        Self(BTreeMap::from([(media_type, MediaType { schema })]))
    }
}

#[derive(Debug, Serialize)]
struct MediaType {
    schema: Schema,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum ResponseOrRef {
    Response(Response),
    Reference {
        #[serde(rename = "$ref")]
        path: String,
    },
}

impl ResponseOrRef {
    pub(super) fn reference(name: &str) -> Self {
        Self::Reference { path: format!("#/components/responses/{name}") }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Response {
    pub(super) description: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) headers: BTreeMap<&'static str, Header>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<Content>,
}

#[derive(Debug, Serialize)]
pub(super) struct Header {
    description: &'static str,
    schema: Schema,
}

impl Header {
    pub(super) fn text(description: &'static str) -> Self {
        Self { description, schema: schemars::json_schema!({ "type": "string" }) }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Components {
    pub(super) responses: BTreeMap<String, Response>,
    pub(super) security_schemes: BTreeMap<&'static str, SecurityScheme>,
    pub(super) schemas: BTreeMap<String, Value>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum SecurityScheme {
    ApiKey {
        #[serde(rename = "in")]
        place: In,
        name: &'static str,
        description: &'static str,
    },
    Http {
        scheme: &'static str,
        /// Only the scheme `bearer` may have it.
        #[serde(skip_serializing_if = "Option::is_none")]
        bearer_format: Option<&'static str>,
        description: &'static str,
    },
}
