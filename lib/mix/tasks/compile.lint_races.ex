defmodule Mix.Tasks.Compile.LintRaces do
  @moduledoc """
  Reports races between processes whenever the project is compiled.

      def project do
        [
          compilers: Mix.compilers() ++ [:lint_races],
          ...
        ]
      end

  The findings are those of `mix lint.races`, with the settings of the same `racefree.toml`, as diagnostics: editors that
  show what the compiler says show them. A message tells the whole interleaving, step by step. In an umbrella, all
  applications are read together, and each reports what lies in it.

  Findings are warnings. `mix compile --warnings-as-errors` fails on any of them, and `--all-warnings` shows again those of
  the last run. What is found is kept: as long as no file that the linter reads has changed, nothing is read again.

  In the environment `:prod` this compiler does nothing. Racefree then need not be a dependency there, but mix must still
  know the compilers it is told to run, so a project with Racefree in `only: [:dev, :test]` says

      compilers: Mix.compilers() ++ if(Mix.env() == :prod, do: [], else: [:lint_races])

  The linter's library is built when it is first needed: see `Mix.Tasks.Lint.Races`.
  """

  @shortdoc "Reports races between processes when compiling"

  use Mix.Task.Compiler

  # For each application of an umbrella, not for the umbrella.
  @recursive true

  alias Mix.Task.Compiler.Diagnostic
  alias Racefree.Lint
  alias Racefree.Lint.{Report, Sources}
  alias Racefree.Manifest

  @manifest_version 1

  @impl true
  def run(arguments) do
    if Mix.env() == :prod do
      {:noop, []}
    else
      with {:ok, library} <- Lint.update(), do: check(library, arguments)
    end
  end

  defp check(library, arguments) do
    program = Sources.program()
    fingerprint = {library, program, Sources.digest(program)}
    known = Manifest.read(manifest(), @manifest_version)

    if known && known.fingerprint == fingerprint && "--force" not in arguments do
      if Enum.any?(["--all-warnings", "--warnings-as-errors"], &(&1 in arguments)),
        do: show(known.diagnostics)

      judge(:noop, known.diagnostics, arguments)
    else
      with :ok <- Lint.prepare(), do: analyse(program, fingerprint, arguments)
    end
  end

  # Order: the files are digested before they are read. What changes in between is read, and read again the next time.
  defp analyse(program, fingerprint, arguments) do
    case Lint.check([program]) do
      {:ok, document} ->
        diagnostics = Report.diagnostics(document, program, File.cwd!())

        Manifest.write!(manifest(), @manifest_version, %{
          fingerprint: fingerprint,
          diagnostics: diagnostics
        })

        show(diagnostics)
        judge(:ok, diagnostics, arguments)

      {:error, messages} ->
        words = messages |> String.trim() |> String.replace_prefix("error: ", "")
        Mix.shell().error("== Racefree: #{words}")

        {:error,
         [
           %Diagnostic{
             file: nil,
             severity: :error,
             message: words,
             position: 0,
             compiler_name: "lint_races"
           }
         ]}
    end
  end

  defp show(diagnostics),
    do: for(diagnostic <- diagnostics, do: IO.puts(:stderr, Report.text(diagnostic)))

  defp judge(status, diagnostics, arguments) do
    if "--warnings-as-errors" in arguments and Enum.any?(diagnostics, &(&1.severity == :warning)) do
      Mix.shell().error("== Racefree: there are findings, and --warnings-as-errors was given")
      {:error, diagnostics}
    else
      {status, diagnostics}
    end
  end

  @impl true
  def manifests, do: [manifest()]

  # A callback from Elixir 1.15 on.
  if {:diagnostics, 0} in Mix.Task.Compiler.behaviour_info(:callbacks), do: @impl(true)
  @doc false
  def diagnostics do
    case Manifest.read(manifest(), @manifest_version) do
      nil -> []
      known -> known.diagnostics
    end
  end

  @impl true
  def clean do
    File.rm(manifest())
    :ok
  end

  defp manifest, do: Path.join(Mix.Project.manifest_path(), "compile.lint_races")
end
