defmodule Racefree.NativeTest do
  use ExUnit.Case, async: true

  alias Racefree.Native

  # The task looks into the folder of a store that nobody has open.
  @callers ~w(Racefree.Registry Racefree.Store Racefree.Log Mix.Tasks.Racefree.Store)

  test "is called by the registry, the store and its logs alone" do
    {:ok, modules} = :application.get_key(:racefree, :modules)
    callers = for module <- modules, calls?(module), do: inspect(module)
    assert callers != []
    assert for(caller <- callers, not Enum.any?(@callers, &within?(caller, &1)), do: caller) == []
  end

  defp calls?(module) do
    {:ok, {^module, [imports: imports]}} = :beam_lib.chunks(:code.which(module), [:imports])
    Enum.any?(imports, &match?({Native, _name, _arity}, &1))
  end

  defp within?(module, name), do: module == name or String.starts_with?(module, name <> ".")

  test "has a library that fills each of its functions" do
    assert Native.version() == Racefree.NativeLibrary.version()
    stubs = for {name, arity} <- Native.__info__(:functions), name != :load, do: {name, arity}

    assert Enum.sort(Keyword.take(Native.module_info(:nifs), Keyword.keys(stubs))) ==
             Enum.sort(stubs)
  end
end
