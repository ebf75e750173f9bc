//! The atoms that cross the border.

rustler::atoms! {
    ok,
    error,
    nil,
    module = "Elixir.Racefree.Registry",

    // Outcomes that Elixir acts on.
    oversized,
    changed,
    held,
    lead,
    live,
    waiting,
    silent,
    delivered,
    done,
    more,
    fresh,
    adopted,
    report,

    // Reasons.
    already_leading,
    already_registered,
    key_too_large,
    no_thread,
    noproc,
    not_found,
    registered_by_other,
    registry_down,
    remote_pid,
    removed,
    stale,
    starting,

    // Notices to waiters.
    closed,
    failed,
    started,

    // Events.
    down,
    event,
    leader_down,
    poisoned,
    register,
    registered,
    removal_finished,
    removal_started,
    remover_down,
    unregister,
    unregistered,

    // Where a panic was caught.
    call,
    janitor,
}
