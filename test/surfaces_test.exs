defmodule Racefree.SurfacesTest do
  @moduledoc """
  The same findings wherever mix and git show them: `mix lint.races`, the compiler `:lint_races`, pre-commit, the plain hook.

  The reference is the command's JSON. `lints/racefree_cli/tests/surfaces.rs` compares that with a list written by hand, and
  says what its project is good for.
  """

  use Racefree.MixProjectCase, async: true

  if not File.exists?(Racefree.MixProjectCase.linter()),
    do: @moduletag(skip: "the linter is not built")

  @projects [
    polyglot: "lints/racefree_cli/tests/surfaces/project",
    example: "examples/shape_service"
  ]

  # One project for all tests: mix compiles Racefree once.
  setup_all do
    folder = new_folder!()
    compilers = "[compilers: Mix.compilers() ++ [:lint_races]]"
    write!(folder, %{"mix.exs" => linted_project(project: compilers)})
    mix!(folder, ["deps.compile"])
    assert {_, 0} = mix(folder, ["lint.races", "rules"])
    {:ok, host: folder}
  end

  setup %{host: host} = context do
    for name <- File.ls!(host),
        name not in ["mix.exs", "_build"],
        do: File.rm_rf!(Path.join(host, name))

    File.cp_r!(Path.join([root(), context.project, "lib"]), Path.join(host, "lib"))
    # What is checked is this folder, not a project around it.
    {1, document, ""} = run(host, linter(), ["check", "--format", "json"])
    {:ok, reference: in_json(document)}
  end

  for {name, project} <- @projects do
    @tag project: project
    test "mix lint.races says the same of the #{name}", %{host: host, reference: reference} do
      {1, document, ""} = run(host, "mix", ["lint.races", "--format", "json"])
      assert in_json(document) == reference
      {1, text, ""} = run(host, "mix", ["lint.races"])
      assert in_text(text) == without_tiers_and_ends(reference)
    end

    @tag project: project
    test "the compiler says the same of the #{name}", %{host: host, reference: reference} do
      task = "show.(Mix.Task.run(\"compile.lint_races\"))"
      {:ok, diagnostics} = eval!(host, task, [], ["--no-start", "--no-compile"])

      found =
        for %{severity: :warning} = diagnostic <- diagnostics, do: diagnosed(diagnostic, host)

      assert Enum.sort(found) == reference
    end

    @tag project: project
    @tag :pre_commit
    test "pre-commit says the same of the #{name}", %{host: host, reference: reference} do
      repository!(host)

      environment = [
        {"PRE_COMMIT_HOME", Path.join(host, ".pre-commit")},
        {"RACEFREE_LINTER", linter()}
      ]

      {1, output, _} = run(host, "pre-commit", ["try-repo", root(), "racefree"], environment)
      assert in_text(output) == without_tiers_and_ends(reference)
    end

    @tag project: project
    test "the plain hook says the same of the #{name}", %{host: host, reference: reference} do
      repository!(host)
      mix!(host, ["lint.races", "--install-hook"])
      {1, output, messages} = git(host, ["commit", "--quiet", "--message", "All of it"])
      assert in_text(output <> messages) == without_tiers_and_ends(reference)
    end
  end

  # With everything staged, and nothing but the project's file committed.
  defp repository!(host) do
    write!(host, %{".gitignore" => "/_build\n"})

    for arguments <- [
          ["init", "--quiet"],
          ["add", ".gitignore", "mix.exs"],
          ["commit", "--quiet", "--message", "First"],
          ["add", "lib"]
        ] do
      {0, _, _} = git(host, arguments)
    end
  end

  defp git(host, arguments) do
    settings = [
      "user.name=a",
      "user.email=a@example.org",
      "commit.gpgSign=false",
      "init.defaultBranch=main"
    ]

    run(host, "git", Enum.flat_map(settings, &["-c", &1]) ++ arguments)
  end

  # Each finding is a line of the document, and its own path and range come first.
  defp in_json(document) do
    place = ~S'\{"line":(\d+),"column":(\d+)\}'
    words = ~S'"rule":"(\w+)","tier":"(\w+)","severity":"(\w+)",.*?"path":"([^"]+)"'

    Regex.compile!(~s'^\\{#{words},"range":\\{"start":#{place},"end":#{place}\\}', "mu")
    |> Regex.scan(document, capture: :all_but_first)
    |> Enum.map(fn [rule, tier, level, path | places] ->
      [line, column, end_line, end_column] = Enum.map(places, &number/1)
      {path, {line, column}, {end_line, end_column}, rule, tier, level}
    end)
    |> Enum.sort()
  end

  defp number(digits), do: String.to_integer(digits)

  # Below the headline stands the place.
  defp in_text(output) do
    ~r/^(error|warning|note)\[(\w+)\]: .*\n +┌─ (.+):(\d+):(\d+)$/mu
    |> Regex.scan(output, capture: :all_but_first)
    |> Enum.map(fn [level, rule, path, line, column] ->
      {path, {number(line), number(column)}, rule, level}
    end)
    |> Enum.sort()
  end

  defp without_tiers_and_ends(reference) do
    Enum.sort(for {path, start, _, rule, _, level} <- reference, do: {path, start, rule, level})
  end

  defp diagnosed(%{details: details} = diagnostic, host) do
    {start, finish} =
      case diagnostic do
        # Elixir 1.14 has ranges, with columns from 0; newer ones a place and a span, with columns from 1.
        %{span: finish, position: start} ->
          {start, finish}

        %{position: {line, column, end_line, end_column}} ->
          {{line, column + 1}, {end_line, end_column + 1}}
      end

    %{"rule" => rule, "tier" => tier, "severity" => level} = details
    {Path.relative_to(diagnostic.file, host), start, finish, rule, tier, level}
  end
end
