//! Rules of services that are not ours: their `.proto` files cannot declare one, so they are declared here.

use holdfast_domain::{Audience, Rule};

use super::Method;

/// gRPC health checking: load balancers have no identity.
pub const HEALTH_SERVICE: &str = "grpc.health.v1.Health";

/// gRPC server reflection, both versions: for operators.
pub const REFLECTION_SERVICES: [&str; 2] =
    ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

pub(super) fn methods() -> [Method; 4] {
    let [v1, v1alpha] = REFLECTION_SERVICES;
    [
        (HEALTH_SERVICE, "Check", Audience::Public, false),
        (HEALTH_SERVICE, "Watch", Audience::Public, true),
        (v1, "ServerReflectionInfo", Audience::Operator, true),
        (v1alpha, "ServerReflectionInfo", Audience::Operator, true),
    ]
    .map(|(service, method, audience, streams)| {
        Method::new(service, format!("/{service}/{method}"), Rule::only(audience).into(), streams, None)
    })
}
