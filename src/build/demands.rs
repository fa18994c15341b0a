//! What steps ask for that a placement cannot give: said before anything is executed.

use crate::plan::{Action, Plan, RunNetwork, RunSecurity, RunStep, Step};

use super::Error;

/// Refuses a plan with a step whose demands cannot be met.
///
/// # Errors
/// At the first such step, with one way out.
pub(super) fn check(plan: &Plan) -> Result<(), Error> {
    for step in plan.stages.iter().flat_map(|stage| &stage.steps) {
        if let Action::Run(run) = &step.action {
            one(run, step)?;
        }
    }
    Ok(())
}

fn one(run: &RunStep, step: &Step) -> Result<(), Error> {
    let refuse = |message: &str, help: &str| {
        let error = Error::Other { message: message.to_owned(), help: Some(help.to_owned()) };
        Err(error.at(&step.place))
    };
    if !run.mounts.is_empty() {
        let help =
            "COPY what the step needs and remove it in the same stage, or do the step in a stage of its own";
        return refuse("RUN --mount is not supported yet", help);
    }
    if run.network == RunNetwork::None {
        let help = "leave it out: the step then has the network";
        return refuse("RUN --network=none is not supported yet", help);
    }
    if run.security == RunSecurity::Insecure {
        let help = "leave it out, or build this image with a privileged builder";
        return refuse("RUN --security=insecure is never granted here", help);
    }
    Ok(())
}
