//! Plans for several platforms as one, in which a stage that is the same for all of them is there
//! once.

use crate::image::Platform;

use super::step::{CopyFrom, Plan, PlannedStage, StageBase};

/// Makes one plan of one or more for different platforms, of the same Dockerfile and target.
pub fn merge(plans: Vec<Plan>) -> Plan {
    let several = plans.len() > 1;
    let mut merged = Plan { stages: Vec::new(), images: Vec::new(), epoch: None };
    for plan in plans {
        let mut positions: Vec<usize> = Vec::new();
        for mut stage in plan.stages {
            renumber(&mut stage, &positions);
            let known = merged.stages.iter().position(|known| is_same(known, &stage));
            positions.push(known.unwrap_or(merged.stages.len()));
            match known {
                Some(known) => {
                    let known = &mut merged.stages[known];
                    known.on_disk |= stage.on_disk;
                    known.copied_from |= stage.copied_from;
                    known.label = match runs_nothing(known) {
                        true => known.name.clone(),
                        false => format!("{} {}", known.platform, known.name),
                    };
                }
                None => {
                    if several {
                        stage.label = format!("{} {}", shown(&stage), stage.name);
                    }
                    merged.stages.push(stage);
                }
            }
        }
        merged.images.extend(plan.images.into_iter().map(|mut image| {
            image.stage = positions[image.stage];
            image
        }));
        merged.epoch = merged.epoch.or(plan.epoch);
    }
    merged
}

/// Names other stages by their positions in the merged plan.
fn renumber(stage: &mut PlannedStage, positions: &[usize]) {
    if let StageBase::Stage(parent) = &mut stage.base {
        *parent = positions[*parent];
    }
    for source in stage.steps.iter_mut().flat_map(|step| step.action.sources_mut()) {
        if let CopyFrom::Stage(from) = source {
            *from = positions[*from];
        }
    }
}

/// Whether two stages do the same with the same files.
fn is_same(one: &PlannedStage, other: &PlannedStage) -> bool {
    let takes_images = || {
        let mut sources = one.steps.iter().flat_map(|step| step.action.sources());
        sources.any(|from| matches!(from, CopyFrom::Image(_)))
    };
    one.number == other.number
        && one.base == other.base
        && (one.platform == other.platform || runs_nothing(one))
        && one.steps.len() == other.steps.len()
        && one.steps.iter().zip(&other.steps).all(|(a, b)| a.history == b.history && a.action == b.action)
        && (one.source_platform == other.source_platform || !takes_images())
}

/// Whether a stage has no platform but in its image's config: it starts from nothing, and nothing
/// is executed in it.
fn runs_nothing(stage: &PlannedStage) -> bool {
    matches!(stage.base, StageBase::Scratch) && !stage.on_disk
}

/// A stage's platform, and the one it works for where that is another (BuildKit, `prefixCommand`).
fn shown(stage: &PlannedStage) -> String {
    let (own, target): (&Platform, &Platform) = (&stage.platform, &stage.source_platform);
    if own == target {
        return own.to_string();
    }
    let rest = target.to_string();
    match rest.strip_prefix(&format!("{}/", own.os)) {
        Some(architecture) => format!("{own}->{architecture}"),
        None => format!("{own}->{rest}"),
    }
}
