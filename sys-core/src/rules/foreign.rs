//! Rules of services that are not ours: their `.proto` files cannot declare one, so they are declared here.

use holdfast_domain::{Audience, Rule};

use super::Method;

/// gRPC health checking: load balancers have no identity.
pub const HEALTH_SERVICE: &str = "grpc.health.v1.Health";

/// gRPC server reflection, both versions: for operators.
pub const REFLECTION_SERVICES: [&str; 2] =
    ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

pub(super) fn methods() -> impl Iterator<Item = Method> {
    let [v1, v1alpha] = REFLECTION_SERVICES;
    let all = [
        (HEALTH_SERVICE, "Check", Audience::Public),
        (HEALTH_SERVICE, "Watch", Audience::Public),
        (v1, "ServerReflectionInfo", Audience::Operator),
        (v1alpha, "ServerReflectionInfo", Audience::Operator),
    ];
    all.into_iter().filter_map(|(service, method, audience)| {
        Rule::new([audience]).map(|rule| Method::new(service, method, rule))
    })
}
