defmodule Racefree.RegistryFaultTest do
  # A panic anywhere in the native library surfaces: calls answer, the owner process stops with a reason, its supervisor starts it anew, empty.
  use ExUnit.Case, async: true

  alias Racefree.{Cargo, FaultScenarios, NativeLibrary}

  @moduletag :cargo

  setup_all do
    {:ok, folder: fault_build()}
  end

  # The application as it is, but with the library that panics on demand.
  defp fault_build do
    root = File.cwd!()

    target =
      Path.join(
        Path.expand(System.get_env("CARGO_TARGET_DIR") || "target", root),
        "fault_injection"
      )

    {:ok, cargo} = Cargo.find(root)

    arguments =
      ~w(build --locked --package racefree_nif --features fault_injection --target-dir) ++
        [target]

    {said, status} = System.cmd(cargo, arguments, cd: root, stderr_to_stdout: true)
    assert status == 0, said

    folder = Path.join(target, "racefree")
    File.rm_rf!(folder)
    File.mkdir_p!(Path.join(folder, "priv/native"))
    File.cp_r!(Path.dirname(:code.which(FaultScenarios)), Path.join(folder, "ebin"))
    built = Path.join([target, "debug", NativeLibrary.artifact_name(:racefree_nif)])
    File.cp!(built, Path.join([folder, "priv/native", NativeLibrary.file_name(:racefree_nif)]))
    folder
  end

  defp in_peer(folder, function, arguments) do
    own = to_charlist(Path.join(folder, "ebin"))

    paths = [
      own
      | for(path <- :code.get_path(), Path.basename(Path.dirname(path)) != "racefree", do: path)
    ]

    quiet = [~c"-kernel", ~c"logger_level", ~c"none"]

    {:ok, peer, _node} =
      :peer.start_link(%{
        connection: :standard_io,
        args: quiet ++ [~c"-pa" | Enum.map(paths, &to_charlist/1)]
      })

    {:ok, _started} = :peer.call(peer, :application, :ensure_all_started, [:elixir])

    try do
      :peer.call(peer, FaultScenarios, function, arguments, :infinity)
    after
      :peer.stop(peer)
    end
  end

  for place <- [:call, :down, :janitor] do
    test "reports a panic in #{place}, and begins anew", %{folder: folder} do
      seen = in_peer(folder, :panic, [unquote(place)])
      assert seen.stopped == {:poisoned, unquote(place)}
      assert seen.waited == {:error, :registry_down}
      assert seen.after_restart == {{:error, :not_found}, {:error, :not_found}}
      assert seen.works == {:ok, true}
      if unquote(place) == :call, do: assert(seen.provoked == {:error, :registry_down})
    end
  end

  for place <- [:call, :down] do
    test "a scheduler that is held in #{place} is reported by the watch of the stress tests", %{
      folder: folder
    } do
      assert [%{timeout: held_ms} | _] = in_peer(folder, :stall, [unquote(place)])
      assert held_ms > 5
    end
  end

  test "the janitor may take its time: its thread is no scheduler's", %{folder: folder} do
    assert in_peer(folder, :stall, [:janitor]) == []
  end

  test "the library holds as much as before when all who used it have died", %{folder: folder} do
    processes = 10_000
    [first | later] = in_peer(folder, :die_together, [processes, 3])

    # A quarter of them has each role: eight bytes lost in one alone would be twice as much. The room that the tables keep varies by some hundreds.
    for bytes <- later, do: assert_in_delta(bytes, first, processes)
  end

  test "loading the module again is refused and changes nothing", %{folder: folder} do
    seen = in_peer(folder, :load_again, [])
    assert seen.loaded == {:error, :on_load_failure}
    assert seen.found == {:ok, true}
  end

  test "deleting and purging the module loses no entry", %{folder: folder} do
    seen = in_peer(folder, :purge, [])
    assert seen.found == {:ok, true}
    assert seen.cleaned_up == {:error, :not_found}
  end

  test "telemetry is given every event of the list", %{folder: folder} do
    %{me: me, holder: holder, remover: remover, leader: leader, events: events} =
      in_peer(folder, :events, [])

    assert events == [
             registered: %{key: :key, pid: me, value: :value},
             unregistered: %{key: :key, pid: me},
             removal_started: %{key: :key, pid: me, owner: me},
             removal_finished: %{key: :key},
             registered: %{key: :own, pid: me, value: nil},
             unregistered: %{key: :own, pid: me},
             registered: %{key: :held, pid: holder, value: nil},
             down: %{key: :held, pid: holder},
             removal_started: %{key: :left, pid: remover, owner: nil},
             remover_down: %{key: :left, pid: remover},
             leader_down: %{key: :start, pid: leader},
             poisoned: %{place: :call}
           ]
  end

  test "a missing library is an error that says what to do", %{folder: folder} do
    folder = without_library(folder)
    assert {:error, {:native_library_not_loaded, text}} = in_peer(folder, :start_alone, [])
    assert text =~ "mix compile"
  end

  defp without_library(folder) do
    bare = Path.join([Path.dirname(folder), "without_library", "racefree"])
    File.rm_rf!(bare)
    File.mkdir_p!(Path.join(bare, "priv"))
    File.cp_r!(Path.join(folder, "ebin"), Path.join(bare, "ebin"))
    bare
  end
end
