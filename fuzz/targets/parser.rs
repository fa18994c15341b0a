//! Any text as a Dockerfile: no panic, no hang, every span within the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yadokari::dockerfile::{
    Command, Instruction, InstructionKind, Mount, Source, Word, expose_ports, parse, parse_tree,
    parse_trigger,
};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let source = Source::new("Dockerfile", text);
    match parse(&source) {
        Ok(dockerfile) => {
            assert!(!dockerfile.stages.is_empty());
            let instructions = dockerfile.stages.iter().flat_map(|stage| &stage.instructions);
            instructions.chain(&dockerfile.global_args).for_each(instruction);
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in &errors {
                assert!(text.get(error.span.range()).is_some(), "{error:?}");
            }
        }
    }
    match parse_tree(&source) {
        Ok(nodes) => nodes.iter().for_each(|node| drop(node.to_string())),
        Err(_) => assert!(parse(&source).is_err()),
    }
    if let Ok(trigger) = parse_trigger(&source, '\\') {
        instruction(&trigger);
    }
});

fn instruction(instruction: &Instruction) {
    let source = &instruction.source;
    assert!(source.text().get(instruction.span.range()).is_some(), "{instruction:?}");
    match &instruction.kind {
        InstructionKind::Run(run) => {
            let _ = run.form(source);
            for mount in &run.mounts {
                word(mount, source);
                let _ = Mount::parse(&mount.text, &|value| Ok(value.to_owned()));
            }
            if let Command::Shell(text) = &run.command {
                word(text, source);
            }
        }
        InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => {
            for pair in pairs {
                word(&pair.key, source);
                word(&pair.value, source);
            }
        }
        InstructionKind::Expose(ports) => {
            for port in ports {
                word(port, source);
                let _ = expose_ports(&port.text);
            }
        }
        InstructionKind::Copy(copy) => word(&copy.arguments.destination, source),
        _ => {}
    }
}

fn word(word: &Word, source: &Source) {
    assert!(source.text().get(word.span.range()).is_some(), "{word:?}");
    let part = word.span_of(source, 0..word.text.len());
    assert!(source.text().get(part.range()).is_some(), "{word:?}");
}
