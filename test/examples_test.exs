defmodule Racefree.ExamplesTest do
  @moduledoc "The example services build without warnings, pass their own tests, and give the findings that they should."

  use ExUnit.Case, async: true

  @root Path.expand("..", __DIR__)
  @linter Path.join(@root, "target/release/racefree")

  for example <- ["shape_service", "shape_service_repaired"] do
    # Three runs of mix, of which one may build the library.
    @tag timeout: 600_000
    test "#{example} is formatted, builds and passes its tests" do
      mix!(unquote(example), ["format", "--check-formatted"])
      mix!(unquote(example), ["compile", "--warnings-as-errors", "--force"])
      # Elixir 1.20 says it in other words.
      assert mix!(unquote(example), ["test"]) =~
               ~r/, 0 failures|Result: (\d+)\/\1 passed|Result: \d+ passed/
    end
  end

  # The repaired one has the service on Racefree as well, under other names.
  test "the twins test the same things" do
    [faulty, repaired] =
      for example <- ["shape_service", "shape_service_repaired"] do
        for path <-
              Path.wildcard(
                Path.join([@root, "examples", example, "test/shape_service/*_test.exs"])
              ),
            [_all, name] <- Regex.scan(~r/^ *test "(.*)"/m, File.read!(path)),
            do: {Path.basename(path), name}
      end

    assert faulty != []
    assert faulty == repaired
  end

  test "RACES.md lists the places of expected.txt" do
    expected = [@root, "examples/shape_service/expected.txt"] |> Path.join() |> File.read!()
    table = [@root, "examples/RACES.md"] |> Path.join() |> File.read!()
    rows = Regex.scan(~r/^\| `(\w+)` \| `(\S+:\d+)` \|/m, table, capture: :all_but_first)

    assert rows != []

    assert Enum.map_join(rows, fn [rule, place] -> "#{rule} lib/shape_service/#{place}\n" end) ==
             expected
  end

  # Without the linter the Rust half has not been built; bin/test builds it first.
  if not File.exists?(@linter), do: @tag(skip: "the linter is not built")

  test "the test that explain writes for each race is formatted Elixir, and fails until it is filled in" do
    folder =
      Path.join(System.tmp_dir!(), "racefree explain #{System.unique_integer([:positive])}")

    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)

    places =
      for line <- File.stream!(Path.join(@root, "examples/shape_service/expected.txt")),
          do: line |> String.split() |> List.last()

    for {place, number} <- Enum.with_index(places) do
      path = Path.join(folder, "#{number}_test.exs")
      {_told, 0} = run_linter("shape_service", ["explain", place, "--test", path])
      text = File.read!(path)
      assert IO.iodata_to_binary([Code.format_string!(text), "\n"]) == text, place
      # `elixir`, not this VM: a failing module must not count as one of these tests.
      script = "ExUnit.start(); Code.require_file(#{inspect(path)})"

      if number in [0, 9] do
        {output, status} = System.cmd("elixir", ["-e", script], stderr_to_stdout: true)

        # Elixir's releases sum up in different words; the status and the numbered failures are the same.
        assert {status, output =~ ~r/^ +1\) test /m, output =~ "step 1 is not written yet"} ==
                 {2, true, true},
               output
      end
    end
  end

  if not File.exists?(@linter), do: @tag(skip: "the linter is not built")

  test "the linter reports every race of shape_service" do
    {output, 1} = lint("shape_service")

    found =
      for [_all, place, rule] <- Regex.scan(~r/^(\S+?:\d+):\d+: \w+\[(\w+)\]/m, output),
          do: "#{rule} #{place}"

    expected =
      [@root, "examples/shape_service/expected.txt"]
      |> Path.join()
      |> File.read!()
      |> String.split("\n", trim: true)

    assert Enum.sort(found) == Enum.sort(expected)
  end

  if not File.exists?(@linter), do: @tag(skip: "the linter is not built")

  test "the linter is silent on shape_service_repaired" do
    assert lint("shape_service_repaired") == {"", 0}
  end

  if not File.exists?(@linter), do: @tag(skip: "the linter is not built")

  test "the README shows what the linter says" do
    readme = [@root, "README.md"] |> Path.join() |> File.read!()

    [sample] =
      Regex.run(~r/<!-- sample -->\n```text\n(.*?)```\n<!-- \/sample -->/s, readme,
        capture: :all_but_first
      )

    arguments =
      ~w(check --only stale_metadata_read --color never --fail-on certain examples/shape_service)

    {output, 1} = System.cmd(@linter, arguments, cd: @root, env: [{"COLUMNS", "100"}])
    assert String.starts_with?(output, sample)
  end

  defp run_linter(example, arguments) do
    System.cmd(@linter, arguments, cd: Path.join([@root, "examples", example]))
  end

  defp lint(example) do
    System.cmd(@linter, ["check", "--format", "oneline", Path.join("examples", example)],
      cd: @root
    )
  end

  defp mix!(example, arguments) do
    # Its own build folder, so that a test run leaves nothing in the example.
    build = Path.join([@root, "_build/examples", example])
    options = [cd: Path.join([@root, "examples", example]), stderr_to_stdout: true]
    env = [{"MIX_ENV", "test"}, {"MIX_BUILD_PATH", build}]
    {output, status} = System.cmd("mix", arguments, [{:env, env} | options])
    assert status == 0, "mix #{Enum.join(arguments, " ")} in #{example}:\n#{output}"
    output
  end
end
