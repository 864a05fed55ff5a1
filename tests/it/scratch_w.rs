use ringfence_tests::world::{World, frames::Stun, wires::Kind};
#[test]
fn scratch() {
    let mut world = World::new(1);
    let (caller, callee) = (world.open_engine(1), world.open_engine(1));
    let alice = world.plug_in(caller, 0);
    world.dial(alice, world.number(callee, 0));
    world.run_for(std::time::Duration::from_millis(200));
    for p in world.trace() {
        if p.kind == Kind::Turn {
            let stun = Stun::read(&p.bytes).unwrap();
            eprintln!("{p:?} {:04x}", stun.kind);
            for (k, v) in &stun.attributes { eprintln!("   {k:04x} {:?}", String::from_utf8_lossy(v)); }
        }
        if p.kind == Kind::Sip { eprintln!("{}", String::from_utf8_lossy(&p.bytes)); }
    }
}
