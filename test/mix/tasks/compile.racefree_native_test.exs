defmodule Mix.Tasks.Compile.RacefreeNativeTest do
  @moduledoc """
  The Mix compiler with the real cargo and the real `mix.exs`, on a workspace whose crate is one line:
  what is built, when, and what is said.
  """

  use Racefree.MixProjectCase, async: true

  alias Racefree.NativeLibrary

  @moduletag :cargo

  @library Path.join("priv/native", NativeLibrary.file_name(:racefree_nif))
  @source "native/racefree_nif/src/lib.rs"
  @lib ~w(cargo.ex cargo/echo.ex manifest.ex native_build.ex native_library.ex)
  @build "Mix.Task.run(\"compile.racefree_native\")"

  setup %{folder: folder} do
    for file <-
          ["lib/mix/tasks/compile.racefree_native.ex", "mix.exs"] ++
            Enum.map(@lib, &Path.join("lib/racefree", &1)) do
      write!(folder, %{file => File.read!(Path.join(root(), file))})
    end

    write!(folder, %{
      "Cargo.toml" => """
      [workspace]
      resolver = "3"
      members = ["native/*"]

      [workspace.package]
      rust-version = "1.91"
      """,
      "Cargo.lock" => """
      version = 4

      [[package]]
      name = "racefree_nif"
      version = "#{NativeLibrary.version()}"
      """,
      "native/racefree_nif/Cargo.toml" => """
      [package]
      name = "racefree_nif"
      version = "#{NativeLibrary.version()}"
      edition = "2024"

      [lib]
      crate-type = ["cdylib"]
      """,
      @source => source("1"),
      # As in the repository, so that mix links the folder into the build.
      "priv/rules/a_rule.md" => "# A rule\n"
    })

    :ok
  end

  test "builds the library, and runs cargo again only when something has changed", %{
    folder: folder
  } do
    assert compile!(folder) =~ "Compiling racefree_nif"
    assert NativeLibrary.check(Path.join(folder, @library), :racefree_nif) == :ok
    assert compile!(folder) == ""

    write!(folder, %{@source => source("2")})
    assert compile!(folder) =~ "Compiling racefree_nif"
    assert compile!(folder) == ""

    # Whether or not cargo then finds work to do, it must be asked.
    write!(folder, %{"native/racefree_nif/src/new.rs" => ""})
    assert compile!(folder) =~ "Finished"
    assert compile!(folder, [{"RUSTFLAGS", "--cfg changed"}]) =~ "Compiling racefree_nif"
    assert compile!(folder) =~ "Finished"
    assert compile!(folder) == ""
    assert compile!(folder, [], ["--force"]) =~ "Finished"

    File.rm!(Path.join(folder, @library))
    assert compile!(folder) =~ "Finished"
    assert File.exists?(Path.join(folder, @library))
  end

  test "environments share the library and do not undo each other's work", %{folder: folder} do
    compile!(folder, [{"MIX_ENV", "dev"}])
    inode = File.stat!(Path.join(folder, @library)).inode
    assert compile!(folder, [{"MIX_ENV", "prod"}]) =~ "Finished"
    assert File.stat!(Path.join(folder, @library)).inode == inode
    assert compile!(folder, [{"MIX_ENV", "dev"}]) == ""
    assert compile!(folder, [{"MIX_ENV", "prod"}]) == ""
  end

  test "puts a new library in the place of the old one without touching the old one's bytes", %{
    folder: folder
  } do
    compile!(folder)
    path = Path.join(folder, @library)
    # What a running virtual machine has mapped.
    mapped = Path.join(folder, "mapped")
    File.ln!(path, mapped)
    bytes = File.read!(mapped)

    write!(folder, %{@source => source("2")})
    compile!(folder)
    assert File.read!(mapped) == bytes
    refute File.read!(path) == bytes
  end

  test "removes what older versions and killed runs have left, and nothing else", %{
    folder: folder
  } do
    machine = :erlang.system_info(:system_architecture)
    extension = Path.extname(@library)

    write!(folder, %{
      "priv/native/racefree_nif-0.0.1-#{machine}#{extension}" => "old version",
      "priv/native/racefree_nif-0.0.1-another-machine#{extension}" => "of another machine",
      "priv/native/racefree_nif-1-1.tmp" => "killed",
      "priv/native/racefree_nif-2-1.tmp" => "perhaps at work",
      "priv/native/somebody_elses#{extension}" => ""
    })

    File.touch!(
      Path.join(folder, "priv/native/racefree_nif-1-1.tmp"),
      System.os_time(:second) - 7200
    )

    compile!(folder)

    assert Enum.sort(File.ls!(Path.join(folder, "priv/native"))) ==
             Enum.sort([
               Path.basename(@library),
               "racefree_nif-0.0.1-another-machine#{extension}",
               "racefree_nif-2-1.tmp",
               "somebody_elses#{extension}"
             ])
  end

  test "shows errors of the Rust compiler and gives them as diagnostics", %{folder: folder} do
    write!(folder, %{@source => source("1") <> "pub fn broken() -> u8 {\n    nothing\n}\n"})
    assert {output, 1} = mix(folder, ["compile"], dev())
    # The whole text, with the source line under it.
    assert output =~ ~r/3 \|     nothing\n.*\^\^\^\^\^\^\^/

    assert {:error, [error]} =
             eval!(folder, "show.(#{@build})", dev(), ["--no-start", "--no-compile"])

    assert error.file == Path.join(folder, @source)
    assert error.position == {3, 5}
    assert error.severity == :error
    assert error.details == "E0425"
    assert error.message =~ "cannot find value `nothing` in this scope"
    assert error.message =~ "^^^^^^^"

    assert [^error] =
             eval!(folder, "show.(Mix.Tasks.Compile.RacefreeNative.diagnostics())", dev(), [
               "--no-start",
               "--no-compile"
             ])

    # Not remembered as done.
    assert {again, 1} = mix(folder, ["compile"], dev())
    assert again =~ "nothing"
  end

  test "keeps the warnings of the Rust compiler and serves them again", %{folder: folder} do
    write!(folder, %{@source => source("1") <> "fn unused() {}\n"})
    assert compile!(folder) =~ "function `unused` is never used"

    assert {:noop, [warning]} =
             eval!(folder, "show.(#{@build})", dev(), ["--no-start", "--no-compile"])

    assert %{severity: :warning, position: {2, 4}, compiler_name: "racefree_native"} = warning

    assert [^warning] =
             eval!(folder, "show.(Mix.Tasks.Compile.RacefreeNative.diagnostics())", dev())

    assert compile!(folder, [], ["--all-warnings"]) =~ "function `unused` is never used"
    assert {_, 1} = mix(folder, ["compile", "--warnings-as-errors"], dev())
    assert {_, 1} = mix(folder, ["compile", "--warnings-as-errors"], dev())

    write!(folder, %{@source => source("1")})
    compile!(folder, [], ["--warnings-as-errors"])
  end

  test "gives what cargo itself complains about as a diagnostic", %{folder: folder} do
    compile!(folder)
    write!(folder, %{"native/racefree_nif/Cargo.toml" => "[package]\nname = 7\n"})

    assert {:error, [error | _]} =
             eval!(folder, "show.(#{@build})", dev(), ["--no-start", "--no-compile"])

    assert %{severity: :error} = error
    assert error.message =~ "invalid type: integer `7`"
  end

  test "changes no lock file", %{folder: folder} do
    manifest = File.read!(Path.join(folder, "native/racefree_nif/Cargo.toml"))

    write!(folder, %{
      "native/racefree_nif/Cargo.toml" =>
        String.replace(manifest, NativeLibrary.version(), "9.9.9")
    })

    lock = File.read!(Path.join(folder, "Cargo.lock"))
    assert {output, 1} = mix(folder, ["compile"], dev())
    assert output =~ "--locked"
    assert File.read!(Path.join(folder, "Cargo.lock")) == lock
  end

  test "two builds at once both succeed, and the sources' last state wins", %{folder: folder} do
    # So that both are in the compiler of interest at the same time.
    for env <- ~w(dev prod), do: compile!(folder, [{"MIX_ENV", env}])

    for value <- ~w(2 3 4) do
      write!(folder, %{@source => source(value)})

      ~w(dev prod dev prod)
      |> Enum.map(&Task.async(fn -> compile!(folder, [{"MIX_ENV", &1}]) end))
      |> Task.await_many(120_000)

      assert File.read!(Path.join(folder, @library)) =~ "value <#{value}>"
      assert Path.wildcard(Path.join(folder, "priv/native/*.tmp")) == []
    end
  end

  test "mix clean removes the library and what is known of it", %{folder: folder} do
    compile!(folder)
    mix!(folder, ["clean"], dev())
    refute File.exists?(Path.join(folder, @library))
    assert compile!(folder) =~ "Finished"
    assert File.exists?(Path.join(folder, @library))
  end

  test "a project that depends on it rebuilds the library when its sources have changed", %{
    folder: folder
  } do
    host = Path.join(folder, "host")

    write!(host, %{
      "mix.exs" => """
      defmodule Host.MixProject do
        use Mix.Project
        def project, do: [app: :host, version: "1.0.0", deps: [{:racefree, path: ".."}]]
      end
      """
    })

    assert compile!(host) =~ "Compiling racefree_nif"
    assert compile!(host) == ""
    write!(folder, %{@source => source("2")})
    assert compile!(host) =~ "Compiling racefree_nif"
    linked = Path.join([host, "_build/dev/lib/racefree", @library])
    assert File.read!(linked) =~ "value <2>"
    assert compile!(host) == ""
  end

  describe "without cargo" do
    test "says what to install", %{folder: folder} do
      assert {output, 1} = mix(folder, ["compile"], without_cargo(folder))
      assert output =~ "Rust 1.91 or newer is needed; there is no cargo on this machine"
      assert output =~ "https://rustup.rs"
      assert output =~ "RACEFREE_NIF_PATH"

      assert {:error, [error]} =
               eval!(folder, "show.(#{@build})", without_cargo(folder), [
                 "--no-start",
                 "--no-compile"
               ])

      assert %{severity: :error, file: nil} = error
      assert error.message =~ "https://rustup.rs"
    end

    test "keeps a library that is right", %{folder: folder} do
      compile!(folder)
      assert mix!(folder, ["compile"], without_cargo(folder)) == ""
      write!(folder, %{@source => source("2")})
      assert {output, 1} = mix(folder, ["compile"], without_cargo(folder))
      assert output =~ "there is no cargo on this machine"
    end

    test "takes a prebuilt library, and another one when it is replaced", %{folder: folder} do
      finished =
        write!(folder, %{"finished.so" => "junk <racefree_nif #{NativeLibrary.version()}> junk"})
        |> Path.join("finished.so")

      environment = without_cargo(folder) ++ [{"RACEFREE_NIF_PATH", finished}]
      refute mix!(folder, ["compile"], environment) =~ "cargo"
      assert File.read!(Path.join(folder, @library)) == File.read!(finished)
      assert mix!(folder, ["compile"], environment) == ""

      File.write!(finished, "other junk <racefree_nif #{NativeLibrary.version()}> junk")
      mix!(folder, ["compile"], environment)
      assert File.read!(Path.join(folder, @library)) == File.read!(finished)
    end
  end

  test "with a cargo that is too old names both versions", %{folder: folder} do
    assert {output, 1} =
             mix(folder, ["compile"], fake_cargo(folder, "echo 'cargo 1.90.1 (abc 2025-01-01)'"))

    assert output =~ "Rust 1.91 or newer is needed; this machine has 1.90.1"
    assert output =~ "rustup update stable"
  end

  test "with a cargo that does not run says so", %{folder: folder} do
    assert {output, 1} =
             mix(folder, ["compile"], fake_cargo(folder, "echo 'no default toolchain'; exit 1"))

    assert output =~ "is there, but does not run"
    assert output =~ "rustup default stable"
  end

  for {flaw, text, words} <- [
        {"missing", nil, "there is no file that can be read"},
        {"no library of ours", "\d127ELF", "the file is no racefree_nif of Racefree"},
        {"of another version", "<racefree_nif 0.0.9>",
         "the library is of version 0.0.9, and this is Racefree #{NativeLibrary.version()}"}
      ] do
    test "a prebuilt library that is #{flaw} is refused with what to do", %{folder: folder} do
      path = Path.join(folder, "finished.so")
      if unquote(text), do: File.write!(path, unquote(text))
      assert {output, 1} = mix(folder, ["compile"], dev() ++ [{"RACEFREE_NIF_PATH", path}])
      assert output =~ "RACEFREE_NIF_PATH is #{path}, but " <> unquote(words)
      assert output =~ "cargo build --release --package racefree_nif"
      refute File.exists?(Path.join(folder, @library))
    end
  end

  defp source(value) do
    """
    #[unsafe(no_mangle)] pub extern "C" fn marker() -> *const u8 { b"<racefree_nif #{NativeLibrary.version()}> value <#{value}>".as_ptr() }
    """
  end

  defp compile!(folder, environment \\ [], options \\ []) do
    mix!(folder, ["compile" | options], dev() ++ environment)
  end

  # Its own target folder, whatever this run of the tests uses.
  defp dev,
    do: [{"RACEFREE_CARGO_PROFILE", "dev"}, {"CARGO_TARGET_DIR", nil}, {"RACEFREE_NIF_PATH", nil}]

  # Elixir and the plain tools, but no cargo.
  defp without_cargo(folder) do
    bin = Path.join(folder, "bin")
    File.mkdir_p!(bin)

    for tool <- ~w(sh erl elixir mix dirname basename readlink sed grep uname cat expr tr),
        path = System.find_executable(tool),
        do: File.ln_s(path, Path.join(bin, tool))

    dev() ++ [{"PATH", bin}, {"HOME", folder}, {"CARGO_HOME", nil}, {"RUSTUP_HOME", nil}]
  end

  defp fake_cargo(folder, body) do
    environment = without_cargo(folder)
    path = Path.join(folder, "bin/cargo")
    File.write!(path, "#!/bin/sh\n#{body}\n")
    File.chmod!(path, 0o755)
    environment
  end
end
