defmodule Racefree.BinTest do
  @moduledoc """
  What `bin/lint` and `bin/test` say on a machine that lacks something.

  Each test runs them with a PATH of its own: the plain tools, and fakes of what it is about. Nothing
  is installed or built: the fakes of `apt-get`, `brew`, `sudo` and `cargo` only tell how they were called.
  """

  use ExUnit.Case, async: true

  @root Path.expand("..", __DIR__)
  @tools ~w(sh cat cmp cp cut dirname env getent grep id mkdir mktemp rm sed true uname)
  @rust_needed Regex.run(~r/^rust-version = "(.*)"/m, File.read!(Path.join(@root, "Cargo.toml")))
               |> List.last()

  setup do
    folder =
      Path.join(
        System.tmp_dir!(),
        "racefree bin #{System.unique_integer([:positive])} #{System.os_time()}"
      )

    bin = Path.join(folder, "bin")
    File.mkdir_p!(bin)
    on_exit(fn -> File.rm_rf!(folder) end)

    for tool <- @tools,
        path = System.find_executable(tool),
        do: File.ln_s!(path, Path.join(bin, tool))

    {:ok, folder: folder, bin: bin}
  end

  for command <- ["lint", "test"] do
    test "bin/#{command} --help needs nothing", context do
      assert {"usage: bin/#{unquote(command)} " <> _, 0} =
               run(context, unquote(command), ["--help"])
    end

    test "bin/#{command} without Rust names the version and where to get it", context do
      assert {output, 3} = run(context, unquote(command), [])

      assert output =~
               "Rust #{@rust_needed} or newer is needed, and there is none on this machine"

      assert output =~ "https://rustup.rs"
    end

    test "bin/#{command} with an old Rust names both versions", context do
      fake(context, "cargo", "exit 1")
      fake(context, "rustc", "echo 'rustc 1.9.0 (abc 2016-01-01)'")
      assert {output, 3} = run(context, unquote(command), [])
      assert output =~ "Rust #{@rust_needed} or newer is needed, and this machine has 1.9.0"
      assert output =~ "rustup update stable"
    end

    test "bin/#{command} with a Rust that does not run says so", context do
      fake(context, "cargo", "exit 1")
      fake(context, "rustc", "exit 1")
      assert {output, 3} = run(context, unquote(command), [])
      assert output =~ "rustc does not run"
    end

    test "bin/#{command} installs a C compiler with apt-get and says so", context do
      rust(context)
      fake(context, "id", "echo 0")
      fake(context, "apt-get", ~s(echo "apt-get $*"))
      assert {output, 3} = run(context, unquote(command), [])
      assert output =~ "missing: a C compiler; installing gcc libc6-dev with apt-get, as root"
      assert output =~ "apt-get install -qy --no-install-recommends gcc libc6-dev"
      assert output =~ "cc still does not compile"
    end
  end

  test "bin/lint of a folder that is not there is bad usage", context do
    assert {output, 2} = run(context, "lint", [Path.join(context.folder, "nothing here")])
    assert output =~ "no such folder: "
    assert {_output, 2} = run(context, "lint", [""])
  end

  test "bin/lint passes on that the linter could not be built", context do
    machine(context)
    fake(context, "cargo", "echo 'error: no net'; exit 101")
    assert {output, 3} = run(context, "lint", [])
    assert output =~ "error: no net"
    assert output =~ "the linter could not be built"
  end

  test "bin/test with an argument that it does not know is bad usage", context do
    assert {output, 2} = run(context, "test", ["everything"])
    assert output =~ "unknown argument: everything"
    assert {_output, 2} = run(context, "test", ["rust", "elixir"])
  end

  test "bin/test-otp --help needs nothing", context do
    assert {"usage: bin/test-otp " <> _, 0} = run(context, "test-otp", ["--help"])
  end

  test "bin/test-otp of a release that it does not know is bad usage", context do
    assert {output, 2} = run(context, "test-otp", ["27", "26"])
    assert output =~ "unknown argument: 26"
  end

  test "bin/test-otp without root says so before it builds anything", context do
    machine(context)
    fake(context, "id", "echo 1000")
    fake(context, "cargo", "echo called")
    assert {output, 3} = run(context, "test-otp", [])
    assert output =~ "needs root; try: sudo bin/test-otp"
    refute output =~ "called"
  end

  test "bin/test-otp on another system than Linux says so", context do
    machine(context)
    fake(context, "uname", "echo Darwin")
    assert {output, 3} = run(context, "test-otp", [])
    assert output =~ "runs on Linux only"
  end

  test "bin/test-otp makes a missing root, and leaves none that is not whole", context do
    machine(context)
    fake(context, "id", "echo 0")
    fake(context, "unshare", "exit 0")
    # Fails after it has begun: the last argument is the folder.
    fake(context, "debootstrap", ~s(echo "debootstrap $*"; mkdir -p "$4"; exit 1))
    roots = Path.join(context.folder, "roots")
    assert {output, 3} = run(context, "test-otp", ["27"], [{"RACEFREE_CHROOTS", roots}])

    assert output =~
             "debootstrap --variant=minbase --include=elixir,git trixie #{roots}/trixie.part"

    assert output =~ "debootstrap failed"
    refute File.exists?(Path.join(roots, "trixie"))
  end

  test "bin/test-otp does not install debootstrap where that is refused", context do
    machine(context)
    fake(context, "id", "echo 0")
    fake(context, "unshare", "exit 0")
    fake(context, "apt-get", "echo called")
    environment = [{"RACEFREE_CHROOTS", context.folder}, {"RACEFREE_NO_INSTALL", "1"}]
    assert {output, 3} = run(context, "test-otp", ["27"], environment)
    assert output =~ "missing: debootstrap; install by hand"
    refute output =~ "called"
  end

  test "RACEFREE_NO_INSTALL refuses to install", context do
    machine(context)
    fake(context, "apt-get", "echo called")
    assert {output, 3} = run(context, "test", [], [{"RACEFREE_NO_INSTALL", "1"}])

    assert output =~
             "missing: Erlang and Elixir; install by hand (Debian, Ubuntu: elixir; Homebrew: elixir)"

    assert output =~ "for RACEFREE_NO_INSTALL is set"

    refute output =~ "called"
  end

  test "Elixir comes from apt-get, with sudo for those who are not root", context do
    machine(context)
    fake(context, "id", "echo 1000")
    fake(context, "apt-get", ~s(echo "apt-get $*"))
    fake(context, "sudo", ~s([ "$1" = -n ] && shift; echo "sudo $*"; exec "$@"))
    assert {output, 3} = run(context, "test", [])
    assert output =~ "installing elixir with apt-get, with sudo"

    assert output =~
             "sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends elixir"

    assert output =~ "there is still none on PATH"
  end

  test "without root and sudo, one sentence says what to install", context do
    machine(context)
    fake(context, "id", "echo 1000")
    fake(context, "apt-get", "echo called")
    assert {output, 3} = run(context, "test", [])
    assert output =~ "for apt-get needs root and there is no sudo"
    refute output =~ "called"
  end

  test "a sudo that wants a password is not asked without a terminal", context do
    machine(context)
    fake(context, "id", "echo 1000")
    fake(context, "apt-get", "echo called")
    fake(context, "sudo", "exit 1")
    assert {output, 3} = run(context, "test", [])
    assert output =~ "sudo wants a password"
    refute output =~ "called"
  end

  test "Elixir comes from Homebrew where there is no apt-get", context do
    machine(context)
    fake(context, "id", "echo 501")
    fake(context, "brew", ~s(echo "brew $*"))
    assert {output, 3} = run(context, "test", [])
    assert output =~ "installing elixir with Homebrew"
    assert output =~ "brew install elixir"
  end

  test "without a package manager, one sentence says what to install", context do
    machine(context)
    assert {output, 3} = run(context, "test", [])
    assert output =~ "there is neither apt-get nor Homebrew here"
  end

  test "an Elixir that is too old is named with the version needed", context do
    machine(context)
    for tool <- ["erl", "mix"], do: fake(context, tool, "exit 0")

    fake(
      context,
      "elixir",
      "echo 'Erlang/OTP 22'; echo; echo 'Elixir 1.9.4 (compiled with Erlang/OTP 22)'"
    )

    assert {output, 3} = run(context, "test", [])
    assert output =~ "Elixir 1.14 or newer is needed, and this machine has 1.9.4"
  end

  test "Node.js and Chromium come from apt-get for the reports", context do
    machine(context)
    fake(context, "id", "echo 0")
    fake(context, "apt-get", ~s(echo "apt-get $*"))
    assert {output, 3} = run(context, "test", ["reports"])
    assert output =~ "missing: Node.js and npm; installing nodejs npm with apt-get, as root"
    browser(context)
    File.rm!(Path.join(context.bin, "chromium"))
    assert {output, 3} = run(context, "test", ["reports"])
    assert output =~ "missing: Chromium; installing chromium with apt-get, as root"
    assert output =~ "Chromium is needed, and there is still none on PATH"
  end

  test "a Node.js that is too old is named with the version needed", context do
    machine(context)
    browser(context)
    fake(context, "node", "echo v16.20.2")
    assert {output, 3} = run(context, "test", ["reports"])
    assert output =~ "Node.js 18.0 or newer is needed, and this machine has v16.20.2"
  end

  test "bin/test installs the validators of reports once", context do
    machine(context)
    browser(context)
    context = repository(context)
    fake(context, "npm", "exit 1")
    assert {output, 3} = run(context, "test", ["reports"])
    assert output =~ "the validators of reports could not be installed"
    fake(context, "npm", ~s(echo "npm $*"; mkdir -p node_modules))
    assert {output, 0} = run(context, "test", ["reports"])
    assert [_, _] = Regex.scan(~r/npm ci/, output)
    assert output =~ "node --test lints/racefree_report/tests/tools/formats.test.mjs"
    assert {output, 0} = run(context, "test", ["reports"])
    refute output =~ "npm ci"
  end

  test "bin/test installs the editors that the language server is tried in", context do
    machine(context)
    fake(context, "id", "echo 0")
    fake(context, "apt-get", ~s(echo "apt-get $*"; [ "$1" = update ]))
    # An Emacs without eglot.
    fake(context, "emacs", "exit 255")
    assert {output, 3} = run(context, "test", ["rust"])
    assert output =~ "installing neovim emacs-nox elpa-eglot with apt-get, as root"
    assert output =~ "for apt-get failed"
    fake(context, "nvim", "exit 0")
    assert {output, 3} = run(context, "test", ["rust"])
    assert output =~ "installing emacs-nox elpa-eglot with apt-get, as root"
  end

  test "bin/test runs all parts and fails if one fails", context do
    machine(context)
    browser(context)
    context = repository(context)
    fake(context, "erl", "exit 0")
    fake(context, "elixir", "echo 'Elixir 1.14.0 (compiled with Erlang/OTP 25)'")
    fake(context, "cargo", ~s([ "$1" = test ] && exit 101; exit 0))
    fake(context, "mix", ~s(echo "mix $*"))
    for tool <- ["pre-commit", "nvim", "emacs"], do: fake(context, tool, "exit 0")
    assert {output, 1} = run(context, "test", [])
    assert output =~ "failed: cargo test --workspace"
    assert output =~ "node --test"
    assert output =~ "mix test"
    assert {_output, 0} = run(context, "test", ["elixir"])
  end

  test "the commands run without HOME, and from a folder with a space in its name", context do
    machine(context)
    browser(context)
    context = repository(context)
    fake(context, "cargo", ~s([ -n "$HOME" ] || exit 101; exit 0))
    for tool <- ["erl", "mix", "pre-commit", "nvim", "emacs"], do: fake(context, tool, "exit 0")
    fake(context, "elixir", "echo 'Elixir 1.18.0 (compiled with Erlang/OTP 27)'")
    assert {_output, 0} = run(context, "test", [], [{"HOME", nil}])
  end

  describe "bin/lint in a repository with a space in its path" do
    setup context do
      machine(context)
      root = Path.join(context.folder, "a repository")
      example = Path.join(root, "examples/shape_service")
      File.mkdir_p!(example)
      File.cp_r!(Path.join(@root, "bin"), Path.join(root, "bin"))
      File.cp!(Path.join(@root, "Cargo.toml"), Path.join(root, "Cargo.toml"))

      File.write!(
        Path.join(example, "expected.txt"),
        "nil_pid_call lib/a.ex:3\nstale_metadata_read lib/b.ex:7\n"
      )

      File.mkdir_p!(Path.join(root, "target/release"))
      {:ok, root: root}
    end

    test "is content with the expected findings", context do
      linter(
        context,
        ["lib/a.ex:3:5: error[nil_pid_call] x", "lib/b.ex:7:1: error[stale_metadata_read] y"],
        1
      )

      assert {output, 0} = run(context, "lint", [])
      assert output =~ "all 2 findings are expected"
    end

    test "fails if one is missing", context do
      linter(
        context,
        ["lib/a.ex:3:5: error[nil_pid_call] x", "lib/b.ex:70:1: error[stale_metadata_read] y"],
        1
      )

      assert {output, 1} = run(context, "lint", [])
      assert output =~ "not found: stale_metadata_read at lib/b.ex:7\n"
      assert output =~ "1 of the 2 findings"
    end

    test "passes on the linter's failure", context do
      linter(context, [], 3)
      assert {_output, 3} = run(context, "lint", [])
    end

    test "passes on folder, options and exit status", context do
      File.mkdir_p!(Path.join(context.folder, "my app"))

      for status <- [0, 1, 2, 3] do
        linter(context, ["called with: $*"], status)
        assert {output, ^status} = run(context, "lint", ["my app", "--format", "json"])
        assert output =~ "called with: check --format json -- my app"
      end

      assert {output, 3} = run(context, "lint", ["--format", "json"])

      assert output =~
               "called with: check --format json -- #{context.root}/examples/shape_service"
    end

    defp linter(%{root: root}, lines, status) do
      path = Path.join(root, "target/release/racefree")

      File.write!(
        path,
        Enum.join(
          ["#!/bin/sh"] ++ Enum.map(lines, &~s(echo "#{&1}")) ++ ["exit #{status}", ""],
          "\n"
        )
      )

      File.chmod!(path, 0o755)
    end
  end

  # As much of the repository as bin/test reads itself, in a folder with a space in its name: what it installs stays there.
  defp repository(context) do
    root = Path.join(context.folder, "a repository")
    tools = "lints/racefree_report/tests/tools"
    File.mkdir_p!(Path.join(root, tools))
    File.cp_r!(Path.join(@root, "bin"), Path.join(root, "bin"))
    File.cp!(Path.join(@root, "Cargo.toml"), Path.join(root, "Cargo.toml"))

    for file <- ["package.json", "package-lock.json", ".npmrc"],
        do: File.cp!(Path.join([@root, tools, file]), Path.join([root, tools, file]))

    File.mkdir_p!(Path.join(root, "editors"))
    File.cp_r!(Path.join(@root, "editors/vscode"), Path.join(root, "editors/vscode"))

    Map.put(context, :root, root)
  end

  # A machine with what the reports are shown to.
  defp browser(context) do
    fake(context, "node", ~s([ "$1" = --version ] && echo v20.0.0 || echo "node $*"))
    fake(context, "npm", "mkdir -p node_modules")
    fake(context, "chromium", "exit 0")
  end

  # A machine with Rust and a C compiler.
  defp machine(context) do
    rust(context)
    fake(context, "cc", "exit 0")
  end

  defp rust(context) do
    fake(context, "cargo", "exit 0")
    fake(context, "rustc", "echo 'rustc #{@rust_needed}.0 (abc 2025-01-01)'")
    fake(context, "uname", "echo Linux")
  end

  defp fake(%{bin: bin}, name, body) do
    path = Path.join(bin, name)
    File.rm(path)
    File.write!(path, "#!/bin/sh\n#{body}\n")
    File.chmod!(path, 0o755)
  end

  defp run(%{folder: folder, bin: bin} = context, command, arguments, env \\ []) do
    root = context[:root] || @root
    # No terminal, so that nothing waits for an answer.
    script = ~s(exec "$0" "$@" < /dev/null)

    base = [
      {"PATH", bin},
      {"HOME", folder},
      {"CARGO_HOME", nil},
      {"RACEFREE_NO_INSTALL", nil},
      {"RACEFREE_LINTER", nil}
    ]

    System.cmd(
      System.find_executable("sh"),
      ["-c", script, Path.join([root, "bin", command]) | arguments],
      cd: folder,
      env: base ++ env,
      stderr_to_stdout: true
    )
  end
end
