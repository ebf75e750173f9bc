# The library needs no logger; tests that capture logs do.
{:ok, _started} = Application.ensure_all_started(:logger)

ExUnit.start(
  timeout: 300_000,
  # How long something takes decides no test: what comes at all is there long before.
  assert_receive_timeout: 60_000,
  exclude: if(System.get_env("RACEFREE_LONG"), do: [], else: [:long])
)
