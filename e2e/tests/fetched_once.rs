//! Blobs of images come over the network once, whatever reads them.

use pretty_assertions::assert_eq;
use yadokari_e2e::{Base, Build, FaultyProxy, Image, Place, Registry, everywhere};

everywhere!(a_blob_comes_once_for_all_stages_copies_and_mounts,);

/// Requests for the one layer of the base.
fn fetches(proxy: &FaultyProxy) -> usize {
    let base = Image::from_layout(&Base::Busybox.layout());
    let layer = base.manifest["layers"][0]["digest"].as_str().expect("a digest").to_owned();
    proxy.requests().iter().filter(|r| r.starts_with("GET ") && r.contains(&layer)).count()
}

fn a_blob_comes_once_for_all_stages_copies_and_mounts(place: Place) {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "base:1");
    let proxy = FaultyProxy::before(&registry, Vec::new());
    let base = proxy.reference("base:1");
    let dockerfile = format!(
        "FROM {base} AS a\nRUN echo a > /a\n\
         FROM {base} AS b\nRUN echo b > /b\n\
         FROM {base}\n\
         COPY --from={base} /etc/passwd /p\n\
         RUN --mount=from={base},source=/etc,target=/e cmp /e/passwd /p\n\
         COPY --from=a /a /\nCOPY --from=b /b /\n"
    );
    let built = Build::new(&dockerfile).push_to(&proxy.reference("app:1")).without_layout().run(place);
    built.succeeded();
    assert_eq!(registry.image("app:1").layer_count(), 5);
    assert_eq!(fetches(&proxy), 1, "{:#?}", proxy.requests());
}

/// An image that is no base is copied from while it comes, and mounted from what came.
#[test]
fn an_image_that_is_copied_from_comes_once() {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "base:1");
    let proxy = FaultyProxy::before(&registry, Vec::new());
    let base = proxy.reference("base:1");
    let dockerfile = format!(
        "FROM scratch AS a\nCOPY --from={base} /etc /etc\nFROM debian\nCOPY --from={base} /etc/passwd /p\n\
         RUN --mount=from={base},source=/etc,target=/e cmp /e/passwd /p\nCOPY --from=a / /\n"
    );
    let push = proxy.reference("app:1");
    Build::new(&dockerfile).push_to(&push).without_layout().run(Place::Overlay).succeeded();
    assert_eq!(fetches(&proxy), 1, "{:#?}", proxy.requests());
}
