//! An image that cannot be had.

use anyhow::ensure;
use cluster_tests::world::IMAGE;
use cluster_tests::{Controller, Outcome, Pods, scenario};
use serde_json::json;

/// The StatefulSet controller by itself waits for ever for a pod that never became ready
/// (<https://github.com/kubernetes/kubernetes/issues/67250>).
#[test]
fn a_wrong_image_is_named_and_a_right_one_heals() -> Outcome {
    scenario("image", Pods::Run, async |world| {
        let _controller = Controller::start(world).await?;
        world
            .serve(json!({"image": "localhost/there-is-no-such-image:1"}))
            .await?;
        let message = world
            .condition("Degraded", "True", "ImagePullFailed")
            .await?;
        ensure!(
            message.contains("localhost/there-is-no-such-image:1"),
            "the image is not named: {message}"
        );
        world.change(json!({"spec": {"image": IMAGE}})).await?;
        world.condition("Available", "True", "PodServing").await?;
        world.condition("Degraded", "False", "AsExpected").await?;
        Ok(())
    })
}
