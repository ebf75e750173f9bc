defmodule Racefree.MixProjectCase do
  @moduledoc """
  Real Mix projects in folders of their own, for tests of what Racefree does inside mix.

  Mix runs as a process of the operating system, without what this one's environment says about mix. Nothing is fetched:
  cargo must do with what is there.
  """

  use ExUnit.CaseTemplate

  @root Path.expand("../..", __DIR__)
  # With a space, which every path that reaches cargo or a shell must bear.
  @prefix "racefree mix"
  @unset ~w(MIX_ENV MIX_TARGET MIX_BUILD_PATH MIX_BUILD_ROOT MIX_DEPS_PATH MIX_EXS RACEFREE_CARGO_PROFILE)

  using do
    quote do
      import Racefree.MixProjectCase
    end
  end

  setup do
    {:ok, folder: new_folder!()}
  end

  @doc "An empty folder that is gone when the test, or all tests of a `setup_all`, have ended."
  def new_folder! do
    name = "#{@prefix} #{System.unique_integer([:positive])} #{System.os_time()}"
    folder = Path.join(System.tmp_dir!(), name)
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)
    folder
  end

  @doc "The binary of the linter. Without it the Rust half has not been built; bin/test builds it first."
  def linter, do: Path.join(@root, "target/release/racefree")

  @doc "A project that uses the linter as its documentation says."
  def linted_project(options \\ []) do
    dependency = {:racefree, path: @root, only: [:dev, :test], runtime: false}

    """
    defmodule Host.MixProject do
      use Mix.Project

      def project do
        [
          app: :host,
          version: "1.0.0",
          deps: [#{inspect(dependency)}]
        ] ++ #{Keyword.get(options, :project, "[]")}
      end
    end
    """
  end

  @doc """
  Runs a program in `folder` without a terminal, and gives exit status, output and error output apart.

  `input` is what standard input says, and ends there.
  """
  def run(folder, program, arguments, environment \\ [], input \\ "") do
    scratch =
      Path.join(System.tmp_dir!(), "racefree streams #{System.unique_integer([:positive])}")

    File.mkdir_p!(scratch)
    [given, messages] = for name <- ~w(given messages), do: Path.join(scratch, name)
    File.write!(given, input)
    script = ~s(given=$1 messages=$2; shift 2; exec "$@" <"$given" 2>"$messages")
    program = System.find_executable(program)
    unset = for name <- @unset ++ ~w(NO_COLOR CLICOLOR CLICOLOR_FORCE COLUMNS), do: {name, nil}

    {output, status} =
      System.cmd("sh", ["-c", script, "sh", given, messages, program | arguments],
        cd: folder,
        env: unset ++ [{"CARGO_NET_OFFLINE", "true"} | environment]
      )

    said = File.read!(messages)
    File.rm_rf!(scratch)
    {status, output, said}
  end

  @doc "The repository."
  def root, do: @root

  @doc "Writes files, given as a map from path to text, below `folder`."
  def write!(folder, files) do
    for {path, text} <- files do
      path = Path.join(folder, path)
      File.mkdir_p!(Path.dirname(path))
      File.write!(path, text)
    end

    folder
  end

  @doc "Runs mix in `folder`. A variable that is nil is not set."
  def mix(folder, arguments, environment \\ []) do
    unset = for name <- @unset, do: {name, nil}
    environment = unset ++ [{"CARGO_NET_OFFLINE", "true"} | environment]

    System.cmd(System.find_executable("mix"), arguments,
      cd: folder,
      env: environment,
      stderr_to_stdout: true
    )
  end

  @doc "Runs mix in `folder`, which must succeed."
  def mix!(folder, arguments, environment \\ []) do
    {output, status} = mix(folder, arguments, environment)

    if status != 0,
      do: flunk("mix #{Enum.join(arguments, " ")} ended with #{status}:\n#{output}")

    output
  end

  @doc "Runs code in `mix run`, which must succeed, and gives the term that the code sends to `show`."
  def eval!(folder, code, environment \\ [], options \\ ["--no-start"]) do
    path = Path.join(folder, "answer")

    script =
      "show = fn term -> File.write!(#{inspect(path)}, :erlang.term_to_binary(term)) end\n" <>
        code

    mix!(folder, ["run"] ++ options ++ ["-e", script], environment)
    path |> File.read!() |> :erlang.binary_to_term()
  end
end
