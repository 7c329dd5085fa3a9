//! What an older release of the operator would have left behind.

use anyhow::{Context, Result};
use kube::api::{DynamicObject, Patch, PatchParams};

use crate::{Child, SERVER, World};

/// The grace period in the pod template that [`older_release`] leaves; no other test uses it.
pub const OLDER_GRACE_PERIOD: i64 = 41;

/// Applies the StatefulSet as an older release of the operator would have left it: another pod
/// template for the same restart digest, recorded as that release's rendering. No controller may
/// run meanwhile.
///
/// # Errors
/// When the API server does not take it.
pub async fn older_release(world: &World) -> Result<DynamicObject> {
    let live = world.child(Child::StatefulSet).await?;
    let mut older = controller_runtime::apply::extract(
        &serde_json::to_value(&live)?,
        server_controller::MANAGER,
        None,
    )
    .context("nothing of the StatefulSet is ours")?;
    older["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = OLDER_GRACE_PERIOD.into();
    let rendering = resources::rendering(&older["spec"]["template"]);
    older["metadata"]["annotations"]["dittofs.io/rendering"] = rendering.into();
    let parameters = PatchParams::apply(server_controller::MANAGER).force();
    Ok(world
        .objects(&Child::StatefulSet.resource())
        .patch(SERVER, &parameters, &Patch::Apply(older))
        .await?)
}
