//! Every route.

use std::collections::HashSet;

use ringfence_protocol::routes::{self, Method, Principal};

use crate::examples::{Pinned, id};
use ringfence_protocol::ids::kind;

#[test]
fn routes_keep_their_form() {
    let mut pinned = Pinned::default();
    for endpoint in routes::ALL {
        let socket = if endpoint.websocket { " websocket" } else { "" };
        pinned.line(
            endpoint.operation,
            &format!("{} {} {:?}{socket}", endpoint.method.as_str(), endpoint.path, endpoint.principal),
        );
    }
    insta::assert_snapshot!(pinned.into_text());
}

#[test]
fn no_two_routes_share_a_name_or_a_method_and_path() {
    let names: HashSet<&str> = routes::ALL.iter().map(|e| e.operation).collect();
    let paths: HashSet<(&str, &str)> = routes::ALL.iter().map(|e| (e.method.as_str(), e.path)).collect();
    assert_eq!(names.len(), routes::ALL.len());
    assert_eq!(paths.len(), routes::ALL.len());
}

#[test]
fn each_principal_keeps_to_its_own_paths() {
    for endpoint in routes::ALL {
        let (agent, admin) = (endpoint.path.starts_with("/agent/"), endpoint.path.starts_with("/api/admin/"));
        let tenant = endpoint.path.starts_with("/api/tenant/");
        assert_eq!(tenant, endpoint.principal == Principal::TenantAdmin);
        let gateway = endpoint.path.starts_with("/api/gateway/");
        assert_eq!(gateway, endpoint.principal == Principal::Gateway);
        match endpoint.principal {
            Principal::Public | Principal::User | Principal::Session | Principal::Gateway | Principal::TenantAdmin => {
                assert!(!agent && !admin)
            }
            Principal::Admin => assert!(admin),
            Principal::Viewer => assert!(endpoint.websocket && !agent && !admin),
            Principal::NewAgent | Principal::Agent | Principal::Machine => assert!(agent),
        }
        if endpoint.websocket {
            assert_eq!(endpoint.method, Method::Get);
        }
    }
}

#[test]
fn a_path_is_filled_in_order() {
    let workspace = id::<kind::Workspace>(4);
    assert_eq!(routes::WORKSPACE_TOKEN.fill(&[&workspace]), format!("/api/workspaces/{workspace}/token"));
    assert_eq!(routes::ME.fill(&[]), "/api/me");
}
