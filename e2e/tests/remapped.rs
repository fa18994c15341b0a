//! In containers of an engine that remaps their users: root there is nobody's root outside.

use std::fs::File;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use yadokari_e2e::{run, run_ok, scratch};

use crate::odd::{build_of, expected, is_the_same, odd, run_in};

/// An engine of its own, with the subordinate ids of the user `yadokari`.
struct Engine {
    home: TempDir,
    daemon: Child,
}

impl Engine {
    fn start() -> Engine {
        let home = scratch();
        let path = |name: &str| home.path().join(name);
        run_ok(Command::new("docker").args(["save", "yadokari-e2e:tiny", "--output"]).arg(path("tiny")));
        run_ok(Command::new("chmod").arg("0755").arg(home.path()));
        let log = File::create(path("log")).expect("a log");
        let daemon = Command::new("/usr/sbin/dockerd")
            .args(["--userns-remap=yadokari", "--iptables=false", "--ip6tables=false", "--bridge=none"])
            .arg(format!("--data-root={}", path("data").display()))
            .arg(format!("--exec-root={}", path("exec").display()))
            .arg(format!("--pidfile={}", path("pid").display()))
            .arg(format!("--host=unix://{}", path("sock").display()))
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .spawn()
            .expect("dockerd starts");
        let engine = Engine { home, daemon };
        let end = Instant::now() + Duration::from_secs(60);
        while run(engine.docker().arg("version")).code != 0 {
            let log = || std::fs::read_to_string(engine.home.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < end, "the engine does not answer:\n{}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
        run_ok(engine.docker().args(["load", "--input"]).arg(engine.home.path().join("tiny")));
        engine
    }

    fn docker(&self) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", format!("unix://{}", self.home.path().join("sock").display()));
        command
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It takes its containers and mounts down when it is asked to end.
        run(Command::new("kill").arg(self.daemon.id().to_string()));
        let _ = self.daemon.wait();
    }
}

#[test]
fn the_same_image_in_every_placement() {
    let odd = odd();
    let expected = expected(&odd);
    let engine = Engine::start();
    let unconfined = "--security-opt=seccomp=unconfined";
    for (options, isolation, said) in [
        (&[][..], "auto", "in place"),
        (&[unconfined][..], "auto", "in a chroot"),
        (&[unconfined, "--tmpfs=/yadokari/work"], "auto", "in an overlay"),
    ] {
        let build = build_of(&odd);
        let finished = run_in(engine.docker(), &build, &odd, options, isolation);
        assert_eq!(finished.code, 0, "{options:?} {isolation}:\n{}", finished.output());
        assert!(finished.stderr.contains(said), "{options:?} {isolation}:\n{}", finished.stderr);
        is_the_same(&build, &expected, &format!("{options:?} {isolation}"));
    }
}
